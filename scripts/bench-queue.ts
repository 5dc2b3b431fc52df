/**
 * What the queue costs and what workers add, each in turns on the same pictures: embedding without a queue on one core, through
 * the queue by one worker on one core, and by two workers on a core each. Every process has one thread for the network and is
 * bound to its core (taskset); loading the network is counted in all three. At the end, the bytes that a job takes in Redis.
 *
 *     npm run bench-queue -- DATASET [--rounds 2] [--job-size 256] [--model FILE]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadBackbone } from '../src/backbone/load.js';
import { embedThroughQueue } from '../src/embed/queue/producer.js';
import { runProcess } from './bench/process.js';
import { bytesPerJob } from './queue/bytes-per-job.js';
import { RedisServer } from './queue/redis-server.js';
import { pinnedTo, WorkerProcess } from './queue/worker-process.js';

const PLAIN = fileURLToPath(new URL('./queue/run-plain.ts', import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '2' },
    'job-size': { type: 'string', default: '256' },
    model: { type: 'string' },
  },
});
const dataset = resolve(positionals[0] ?? 'test/fixtures/examples');
const model = values.model === undefined ? [] : [resolve(values.model)];
const backbone = await loadBackbone(model[0] === undefined ? {} : { model: model[0] });
const folder = await mkdtemp(join(tmpdir(), 'lastlayer-bench-queue-'));
const redis = await RedisServer.start(folder);
let stores = 0;
let pictures = 0;
const seconds: Record<'plain' | 'one worker' | 'two workers', number[]> = {
  plain: [],
  'one worker': [],
  'two workers': [],
};
try {
  for (let round = 1; round <= Number(values.rounds); round++) {
    seconds.plain.push(await plain());
    seconds['one worker'].push(await throughQueue(1));
    seconds['two workers'].push(await throughQueue(2));
    process.stderr.write(`round ${round} of ${values.rounds}\n`);
  }
  const [alone, one, two] = [best(seconds.plain), best(seconds['one worker']), best(seconds['two workers'])];
  console.log(`${cpus()[0]?.model.trim()}, Node ${process.version}, ${backbone.id}, ${pictures} pictures`);
  console.table(
    Object.entries(seconds).map(([how, all]) => ({
      how,
      'pictures/s': (pictures / best(all)).toFixed(1),
      s: all.map((s) => s.toFixed(1)).join(', '),
    })),
  );
  console.log(`two workers to one: ${(one / two).toFixed(2)} ×`);
  console.log(`queue, one worker, to none: ${(100 * (one / alone - 1)).toFixed(1)} % more time`);
  console.log(`bytes of Redis for a job of 256 pictures: ${await bytesPerJob(redis, 256)}`);
} finally {
  await redis.stop();
  await rm(folder, { recursive: true });
}

/** The least disturbed of the rounds. */
function best(all: readonly number[]): number {
  return Math.min(...all);
}

async function plain(): Promise<number> {
  const [command = '', ...args] = [
    ...pinnedTo(0),
    process.execPath,
    '--import',
    'tsx',
    PLAIN,
    dataset,
    newStore(),
    ...model,
  ];
  return (JSON.parse(await runProcess(command, args)) as { seconds: number }).seconds;
}

async function throughQueue(count: number): Promise<number> {
  const flags = ['--threads', '1', ...(model[0] === undefined ? [] : ['--model', model[0]])];
  const cores = Array.from({ length: count }, (_, core) => core);
  const workers = await Promise.all(cores.map((core) => WorkerProcess.start(redis.url, flags, { core })));
  const start = performance.now();
  const jobSize = Number(values['job-size']);
  const summary = await embedThroughQueue(dataset, {
    backbone,
    store: newStore(),
    queue: redis.url,
    jobSize,
  });
  const taken = (performance.now() - start) / 1000;
  pictures = summary.total;
  await Promise.all(workers.map((worker) => worker.end('SIGTERM')));
  return taken;
}

function newStore(): string {
  return join(folder, `store-${stores++}`);
}
