import { randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { openDataset } from '../../src/data/open.js';
import type { DatasetEntry } from '../../src/data/dataset.js';
import type { LabelOptions } from '../../src/label/options.js';
import type { Action, ActionAnswer, LabelEvent, Session } from '../../src/label/protocol.js';
import { type RunningLabelling, startLabelling } from '../../src/label/server.js';
import { stripes } from './files.js';
import { smallNetwork } from './small-network.js';

const ANGLES = { flat: 90, steep: 0, slanted: 45 };

/** Pictures of stripes in one folder, which are not labelled: `flat-0.png`, … */
export async function unlabelledPictures(folder: string, each: number): Promise<void> {
  await mkdir(folder, { recursive: true });
  let seed = 0;
  for (const [name, angle] of Object.entries(ANGLES)) {
    for (let i = 0; i < each; i++) await writeFile(join(folder, `${name}-${i}.png`), await stripes(angle, ++seed));
  }
}

/** A session at its server, and what a page does there. */
export class Client {
  readonly url: string;
  private readonly token: string;

  private constructor(readonly running: RunningLabelling) {
    const { origin, searchParams } = new URL(running.url);
    this.url = origin;
    this.token = searchParams.get('token') ?? '';
  }

  /** Starts a server on any free port. @param folder for the model, the store and the head */
  static async start(folder: string, options: LabelOptions): Promise<Client> {
    const model = join(folder, 'small.onnx');
    await writeFile(model, smallNetwork());
    const places = { model, store: join(folder, 'store'), head: join(folder, 'head.safetensors') };
    return new Client(await startLabelling({ ...places, port: 0, ...options }));
  }

  get headers(): { 'X-Token': string } {
    return { 'X-Token': this.token };
  }

  async get<T>(path: string): Promise<T> {
    const response = await fetch(this.url + path, { headers: this.headers });
    return (await response.json()) as T;
  }

  session(): Promise<Session> {
    return this.get('/api/session');
  }

  /** Does something, and fails if it is refused. */
  async act(action: Action, id: string = randomUUID()): Promise<ActionAnswer> {
    const { status, body } = await this.post(action, id);
    if (status !== 200) throw new Error(JSON.stringify(body));
    return body as ActionAnswer;
  }

  async post(action: unknown, id: string): Promise<{ status: number; body: unknown }> {
    const response = await fetch(`${this.url}/api/actions`, {
      method: 'POST',
      headers: { ...this.headers, 'Content-Type': 'application/json' },
      body: JSON.stringify({ id, action }),
    });
    return { status: response.status, body: await response.json() };
  }

  async postEmpty<T>(path: string): Promise<T> {
    const response = await fetch(this.url + path, { method: 'POST', headers: this.headers });
    return (await response.json()) as T;
  }

  async upload<T>(
    path: string,
    files: readonly (readonly [name: string, bytes: Uint8Array<ArrayBuffer>])[],
  ): Promise<T> {
    const form = new FormData();
    for (const [name, bytes] of files) form.append('file', new Blob([bytes]), name);
    const response = await fetch(this.url + path, { method: 'POST', headers: this.headers, body: form });
    return (await response.json()) as T;
  }

  /** The events from a change on, while they come. */
  events(since: number): { events: LabelEvent[]; close: () => void } {
    const events: LabelEvent[] = [];
    let rest = '';
    const request = get(`${this.url}/api/events?since=${since}&token=${this.token}`, (response) => {
      response.setEncoding('utf8').on('data', (text: string) => {
        const parts = (rest + text).split('\n\n');
        rest = parts.pop() ?? '';
        for (const part of parts) {
          const data = part.split('\n').find((line) => line.startsWith('data: '));
          if (data !== undefined) events.push(JSON.parse(data.slice(6)) as LabelEvent);
        }
      });
    });
    request.on('error', () => undefined);
    return { events, close: () => request.destroy() };
  }

  /** Waits until the classifier has learnt from everything. */
  async learnt(): Promise<Session> {
    for (;;) {
      const session = await this.session();
      const { status, seq, version } = session.classifier;
      if (status === 'ready' && version > 0 && seq === session.seq) return session;
      await later(20);
    }
  }
}

function later(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits for something to become true. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await later(10);
}

/** What a session says of its pictures, by their names: the labels, or what else there is to say. */
export function saidOf({ pictures, classes }: Pick<Session, 'pictures' | 'classes'>): Record<string, string> {
  const said = pictures.name.map((name, i) => {
    const labels = (pictures.labels[i] ?? []).map((n) => classes[n]?.name).join('+');
    const split = pictures.split[i] ? ` in ${pictures.split[i]}` : '';
    return [name, `${labels}${pictures.leftOut[i] ? ' left out' : ''}${split}`];
  });
  return Object.fromEntries(said) as Record<string, string>;
}

/** The rows of a manifest, as `embed` reads them. */
export async function rowsOf(manifest: string): Promise<DatasetEntry[]> {
  const rows: DatasetEntry[] = [];
  for await (const entry of (await openDataset(manifest)).entries()) rows.push(entry);
  return rows;
}
