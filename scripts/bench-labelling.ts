import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { type ClientRequest, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { loadBackbone } from '../src/backbone/load.js';
import type { Action } from '../src/label/protocol.js';
import { startLabelling } from '../src/label/server.js';
import { EMPTY_ROW } from '../src/store/row.js';
import { EmbeddingStore } from '../src/store/store.js';
import { sha256Of } from '../src/util/hash.js';
import { smallNetwork } from '../test/support/small-network.js';
import { Random } from './support/random.js';
import { count, run, script } from './support/script.js';

/** Of the made-up embeddings, as those of ResNet-18. */
const WIDTH = 512;

/** Follows the events: to ask for the session again and again would be most of the work. */
class Follower {
  private trainedOn = 0;
  private readonly request: ClientRequest;

  constructor(address: string) {
    this.request = get(address, (response) => {
      response.setEncoding('utf8').on('data', (text: string) => {
        for (const [, number] of text.matchAll(/"trainedOn":(\d+)/g)) this.trainedOn = Number(number);
      });
    });
    this.request.on('error', () => undefined);
  }

  /** Waits for a head that has learnt from so many labels. */
  async learnt(labels: number): Promise<void> {
    while (this.trainedOn < labels) await delay(20);
  }

  close(): void {
    this.request.destroy();
  }
}

export const command = script(
  'bench-labelling',
  'Label made-up pictures through the server of `npm run label`, and measure its memory, how long it takes to start, and how long its ' +
    'event loop is blocked while the classifier learns and the queues are made. The embeddings are random points around the centres ' +
    'of classes, so no picture is decoded.',
  ['', '--pictures 100000 --labels 10000'],
)
  .option('--pictures <n>', 'pictures', count, 50_000)
  .option('--classes <n>', 'classes', count, 10)
  .option('--labels <n>', 'pictures that are labelled, one action for a hundredth of them', count, 5_000)
  .action(bench);
await run(import.meta.url, command);

interface Options {
  pictures: number;
  classes: number;
  labels: number;
}

async function bench({ pictures, classes, labels }: Options): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-label-'));
  try {
    const [dataset, store, model] = [join(folder, 'photos'), join(folder, 'store'), join(folder, 'small.onnx')];
    await writeFile(model, smallNetwork(1, { width: WIDTH, stride: 32 }));
    await makeStore(dataset, store, model, { pictures, classes });
    const before = process.memoryUsage().rss;
    const started = performance.now();
    const running = await startLabelling({ dataset, store, model, port: 0, head: join(folder, 'head.safetensors') });
    print('start, pictures embedded already', performance.now() - started);
    await measure(running.url, labels, classes);
    const { rss } = process.memoryUsage();
    console.log(`memory: ${mebibytes(rss)} MiB, ${mebibytes(rss - before)} more than before the session`);
    const closing = performance.now();
    await running.close();
    print('saving manifest and head at the end', performance.now() - closing);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Files without a picture in them, and rows that say what is on them. */
async function makeStore(
  dataset: string,
  location: string,
  model: string,
  { pictures, classes }: Pick<Options, 'pictures' | 'classes'>,
): Promise<void> {
  await mkdir(dataset);
  const backbone = await loadBackbone({ model });
  const store = await EmbeddingStore.open(location, { create: true });
  const table = await store.table(backbone.id, backbone.transformId, backbone.width);
  const random = new Random(1);
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - random.between(0, 1))) * Math.cos(2 * Math.PI * random.between(0, 1));
  const centres = Array.from({ length: classes }, () =>
    Float32Array.from({ length: WIDTH }, () => Math.max(0, normal())),
  );
  for (let i = 0; i < pictures; i++) {
    const path = join(dataset, `${String(i).padStart(6, '0')}.jpg`);
    await writeFile(path, String(i));
    const { size, mtimeMs } = await stat(path);
    await table.put({
      ...EMPTY_ROW,
      ...{ path, dataset, sha256: sha256Of(String(i)), size, modified: mtimeMs, width: 640, height: 480 },
      embedding: centres[i % classes]!.map((value) => Math.max(0, value + 1.5 * normal())),
      fingerprint: Uint8Array.from({ length: 257 }, () => random.whole(0, 255)),
      ...{ model_id: backbone.id, transform_id: backbone.transformId },
    });
  }
  await table.flush();
  await table.optimize();
  store.close();
}

async function measure(address: string, labels: number, classes: number): Promise<void> {
  const { origin, searchParams } = new URL(address);
  const headers = { 'X-Token': searchParams.get('token')!, 'Content-Type': 'application/json' };
  const follower = new Follower(`${origin}/api/events?token=${headers['X-Token']}`);
  const ask = async (path: string) => (await fetch(origin + path, { headers })).arrayBuffer();
  let actions = 0;
  const act = async (action: Action) => {
    const body = JSON.stringify({ id: String(++actions), action });
    const answer = await fetch(`${origin}/api/actions`, { method: 'POST', headers, body });
    if (!answer.ok) throw new Error(await answer.text());
  };
  await timed('GET /api/session', () => ask('/api/session'));
  await timed('queue next, nothing labelled', () => ask('/api/queues/next'));
  const each = Math.ceil(labels / 100 / classes);
  await timed(`${labels} labels while the classifier learns`, async () => {
    for (let batch = 0; batch < 100; batch++) {
      for (let n = 0; n < classes; n++) {
        const pictures = Array.from({ length: each }, (_, i) => (batch * each + i) * classes + n);
        await act({ kind: 'label', pictures, label: `class ${n}` });
      }
      await delay(50);
    }
  });
  await timed('until the classifier has learnt all of it', () => follower.learnt(labels));
  const more = labels + classes;
  await timed('one more label, and a new head', async () => {
    await act({ kind: 'label', pictures: [more], label: `class ${more % classes}` });
    await follower.learnt(labels + 1);
  });
  for (const name of ['next', 'clusters', 'accept', 'doubtful', 'duplicates', 'odd']) {
    await timed(`queue ${name}`, () => ask(`/api/queues/${name}`));
  }
  await timed('similar pictures', () => ask('/api/similar/17'));
  await timed('merging a class into another', () => act({ kind: 'rename-class', name: 'class 1', to: 'class 0' }));
  await timed('the manifest', () => delay(2500));
  follower.close();
}

/** Does something, and says how long it took, of the processor in all threads, too, and how long the event loop was blocked. */
async function timed(what: string, work: () => Promise<unknown>): Promise<void> {
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  const [started, used] = [performance.now(), process.cpuUsage()];
  await work();
  const took = performance.now() - started;
  const { user, system } = process.cpuUsage(used);
  delays.disable();
  print(
    what,
    took,
    `processor ${((user + system) / 1e6).toFixed(2).padStart(6)} s; event loop blocked for at most ${(delays.max / 1e6).toFixed(0)} ms, 99 % within ${(delays.percentile(99) / 1e6).toFixed(1)} ms`,
  );
}

function print(what: string, ms: number, more = ''): void {
  console.log(`${what.padEnd(46)} ${(ms / 1000).toFixed(2).padStart(7)} s  ${more}`.trimEnd());
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}
