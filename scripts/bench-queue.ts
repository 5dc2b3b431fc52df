import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Queue } from 'bullmq';
import { loadBackbone } from '../src/backbone/load.js';
import { type JobData, jobId } from '../src/embed/queue/job.js';
import { embedThroughQueue } from '../src/embed/queue/producer.js';
import { INSTALL_REDIS, RedisServer } from './queue/redis-server.js';
import { pinnedTo, WorkerProcess } from './queue/worker-process.js';
import { runProcess } from './support/run-process.js';
import { count, datasetArgument, existingPath, requireProgram, run, script } from './support/script.js';

const PLAIN = fileURLToPath(new URL('./queue/run-plain.ts', import.meta.url));

export const command = script(
  'bench-queue',
  'Measure what the queue costs and what workers gain, in turns on the same pictures: embedding without a queue on one core, ' +
    'through the queue with one worker on one core, and with two workers on one core each. Every process has one thread for ' +
    'the backbone and is bound to its core by taskset. All three include loading the backbone. Then measures the memory of ' +
    'a job in Redis. Needs redis-server and taskset.',
  ['~/photos'],
)
  .addArgument(datasetArgument())
  .option('--rounds <n>', 'how often each setting runs', count, 2)
  .option('--job-size <n>', 'pictures per job', count, 256)
  .option('--model <file>', 'model file of the backbone (default: as for embed)', existingPath)
  .action(benchQueue);
await run(import.meta.url, command);

interface Options {
  rounds: number;
  jobSize: number;
  model?: string | undefined;
}

async function benchQueue(dataset: string, { rounds, jobSize, model }: Options): Promise<void> {
  requireProgram('redis-server', INSTALL_REDIS);
  requireProgram('taskset', 'It is part of util-linux.');
  const backbone = await loadBackbone({ model });
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-bench-queue-'));
  const redis = await RedisServer.start(folder);
  let stores = 0;
  let pictures = 0;
  const newStore = () => join(folder, `store-${stores++}`);

  const plain = async () => {
    const program = [process.execPath, '--import', 'tsx', PLAIN, dataset, newStore()];
    const [command, ...args] = [...pinnedTo(0), ...program, ...(model === undefined ? [] : [model])];
    const output = await runProcess(command!, args);
    return (JSON.parse(output) as { seconds: number }).seconds;
  };

  const throughQueue = async (count: number) => {
    const flags = ['--threads', '1', ...(model === undefined ? [] : ['--model', model])];
    const cores = Array.from({ length: count }, (_, core) => core);
    const workers = await Promise.all(cores.map((core) => WorkerProcess.start(redis.url, flags, { core })));
    const start = performance.now();
    const options = { backbone, store: newStore(), queue: redis.url, jobSize };
    pictures = (await embedThroughQueue(dataset, options)).total;
    const seconds = (performance.now() - start) / 1000;
    await Promise.all(workers.map((worker) => worker.end('SIGTERM')));
    return seconds;
  };

  try {
    const seconds = { plain: [] as number[], 'one worker': [] as number[], 'two workers': [] as number[] };
    for (let round = 1; round <= rounds; round++) {
      seconds.plain.push(await plain());
      seconds['one worker'].push(await throughQueue(1));
      seconds['two workers'].push(await throughQueue(2));
      process.stderr.write(`round ${round} of ${rounds}\n`);
    }
    // The least disturbed round.
    const best = (all: readonly number[]) => Math.min(...all);
    const [alone, one, two] = [best(seconds.plain), best(seconds['one worker']), best(seconds['two workers'])];
    console.log(`${cpus()[0]?.model.trim()}, Node ${process.version}, ${backbone.id}, ${pictures} pictures`);
    console.table(
      Object.entries(seconds).map(([how, all]) => ({
        how,
        'pictures/s': (pictures / best(all)).toFixed(1),
        s: all.map((s) => s.toFixed(1)).join(', '),
      })),
    );
    console.log(`two workers compared with one: ${(one / two).toFixed(2)} ×`);
    console.log(`the queue with one worker, compared with none: ${(100 * (one / alone - 1)).toFixed(1)} % more time`);
    console.log(`Redis memory of a job of 256 pictures: ${await bytesPerJob(redis, 256)} bytes`);
  } finally {
    await redis.stop();
    await rm(folder, { recursive: true });
  }
}

/** Redis memory of a waiting job whose pictures have a label and paths of about 60 characters. */
async function bytesPerJob(redis: RedisServer, pictures: number): Promise<number> {
  const jobs = 1000;
  const queue = new Queue<JobData>('bytes-per-job', { connection: { url: redis.url } });
  const before = await redis.memory();
  for (let job = 0; job < jobs; job++) {
    const entries = Array.from({ length: pictures }, (_, i) => ({
      path: `/mnt/photographs/2024/collection-${String(job).padStart(6, '0')}/picture-${String(i).padStart(9, '0')}.jpg`,
      label: 'some class',
    }));
    const ids = { modelId: 'resnet18@0123456789ab', transformId: 'v1-resize256-crop224' };
    const data = { entries, ...ids, suspect: false };
    await queue.add('embed', data, { jobId: jobId(data) });
  }
  const bytes = ((await redis.memory()) - before) / jobs;
  await queue.obliterate({ force: true });
  await queue.close();
  return Math.round(bytes);
}
