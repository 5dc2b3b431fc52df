import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { cp, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openDataset } from '../../src/data/open.js';
import type { Action, Session } from '../../src/label/protocol.js';
import type { Random } from '../support/random.js';
import { start } from './command.js';
import { modelFlags, type Report, type Setting } from './scenario.js';

/** The longest that a server is labelled at before it is killed, in ms. */
const LONGEST = 4000;

/** How often nothing is done for so long that the manifest is written, in ms. */
const PAUSES = 0.03;
const PAUSE = 1700;

const LABELS = ['red', 'green', 'blue', '"quoted", ä'];

/**
 * Kills `label` while a program labels as fast as it can, and starts it again on the same journal, until there were enough kills.
 * After each kill the manifest, if there is one, must be readable; and the session that goes on must have every action that was
 * acknowledged and, of one that was under way, all or nothing. In the end everything is undone, step by step.
 */
export async function killLabel(setting: Setting): Promise<Report> {
  const { folder, rounds, random } = setting;
  const pictures = join(folder, 'pictures');
  await cp(setting.dataset, pictures, { recursive: true, preserveTimestamps: true });
  const args = ['label', pictures, '--port', '0', '--json', ...modelFlags(setting)];
  let server = await Server.start(args, folder);
  try {
    let labels = Labels.of(await server.session());
    let [actions, done, rows] = [0, 0, 0];
    for (let kill = 1; kill <= rounds; kill++) {
      const killing = delay(random.between(0, LONGEST)).then(() => {
        server.kill();
      });
      let next = labels;
      try {
        for (;;) {
          const action = randomAction(labels.size, random);
          next = labels.after(action);
          if (next === labels) continue;
          await server.act(action);
          labels = next;
          actions++;
          if (random.chance(PAUSES)) await delay(PAUSE);
        }
      } catch (error) {
        if (!(error instanceof Gone)) throw error;
      }
      await killing;
      rows += await rowsOf(join(folder, 'pictures.labels.csv'));
      server = await Server.start(args, folder);
      const seen = Labels.of(await server.session()).text;
      if (seen !== labels.text && seen !== next.text) {
        throw new Error(`After ${kill} kills, the labels are ${seen}, and not ${labels.text} or ${next.text}.`);
      }
      if (seen !== labels.text) {
        done++;
        labels = next;
      }
      setting.onProgress?.(`${kill} of ${rounds} kills, ${actions} actions`);
    }
    for (let undone = labels.after({ kind: 'undo' }); undone !== labels; undone = labels.after({ kind: 'undo' })) {
      await server.act({ kind: 'undo' });
      labels = undone;
      const seen = Labels.of(await server.session()).text;
      if (seen !== labels.text) throw new Error(`Undone, the labels are ${seen}, and not ${labels.text}.`);
    }
    return {
      faults: rounds,
      seen: `${actions} actions acknowledged, none lost; ${done} that were under way were done; ${rows} rows of manifests read`,
    };
  } finally {
    server.kill();
  }
}

async function rowsOf(manifest: string): Promise<number> {
  if (!(await stat(manifest).catch(() => undefined))) return 0;
  let rows = 0;
  for await (const { path } of (await openDataset(manifest)).entries()) if (path !== '') rows++;
  return rows;
}

function randomAction(size: number, random: Random): Action {
  const pictures = Array.from({ length: size }, (_, picture) => picture).filter(() => random.chance(0.2));
  return random.pick<Action>([
    { kind: 'label', pictures, label: random.pick(LABELS) },
    { kind: 'label', pictures, label: random.pick(LABELS) },
    { kind: 'leave-out', pictures, out: random.chance(0.5) },
    { kind: 'undo' },
    { kind: 'redo' },
  ]);
}

/** What is said of one picture. */
interface Said {
  label: string | null;
  out: boolean;
}

/** What the labels must be, reckoned without the program. */
class Labels {
  /** @param at which of the states is the present one */
  private constructor(
    private readonly states: readonly (readonly Said[])[],
    private readonly at: number,
  ) {}

  static of({ pictures, classes }: Session): Labels {
    const state = pictures.labels.map(([n], picture) => ({
      label: n === undefined ? null : classes[n]!.name,
      out: pictures.leftOut[picture]!,
    }));
    return new Labels([state], 0);
  }

  get size(): number {
    return this.states[0]!.length;
  }

  get text(): string {
    return JSON.stringify(this.states[this.at]);
  }

  /** The same object if the action changes nothing. */
  after(action: Action): Labels {
    const { states, at } = this;
    if (action.kind === 'undo') return at > 0 ? new Labels(states, at - 1) : this;
    if (action.kind === 'redo') return at < states.length - 1 ? new Labels(states, at + 1) : this;
    if (action.kind !== 'label' && action.kind !== 'leave-out') throw new Error(`Nobody does ${action.kind}.`);
    const set = action.kind === 'label' ? { label: action.label } : { out: action.out };
    const now = states[at]!.map((said, picture) => (action.pictures.includes(picture) ? { ...said, ...set } : said));
    return JSON.stringify(now) === this.text ? this : new Labels([...states.slice(0, at + 1), now], at + 1);
  }
}

/** The server was killed before it answered. */
class Gone extends Error {}

/** A server in a process of its own. */
class Server {
  private constructor(
    private readonly process: ReturnType<typeof start>,
    private readonly url: string,
    private readonly token: string,
  ) {}

  static async start(args: readonly string[], folder: string): Promise<Server> {
    const child = start(args, folder);
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    const [line] = (await Promise.race([once(child.stdout, 'data'), once(child, 'close').then(() => [undefined])])) as [
      Buffer | undefined,
    ];
    if (!line) throw new Error(`label did not start: ${errors}`);
    const { url } = JSON.parse(line.toString()) as { url: string };
    const { origin, searchParams } = new URL(url);
    return new Server(child, origin, searchParams.get('token')!);
  }

  async session(): Promise<Session> {
    const response = await fetch(`${this.url}/api/session`, { headers: { 'X-Token': this.token } });
    return (await response.json()) as Session;
  }

  /** @throws {Gone} if the server does not answer, and an Error if it refuses */
  async act(action: Action): Promise<void> {
    const refused = await fetch(`${this.url}/api/actions`, {
      method: 'POST',
      headers: { 'X-Token': this.token, 'Content-Type': 'application/json' },
      body: JSON.stringify({ id: randomUUID(), action }),
    })
      .then(async (response) => [response.ok, await response.text()] as const)
      .then(([isDone, text]) => (isDone ? undefined : text))
      .catch((error: unknown) => {
        throw new Gone(String(error));
      });
    if (refused !== undefined) throw new Error(refused);
  }

  kill(): void {
    this.process.kill('SIGKILL');
  }
}
