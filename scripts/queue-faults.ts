import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pLimit from 'p-limit';
import sharp from 'sharp';
import type { Backbone } from '../src/backbone/backbone.js';
import { loadBackbone } from '../src/backbone/load.js';
import { embedDataset } from '../src/embed/embed.js';
import { embedThroughQueue } from '../src/embed/queue/producer.js';
import { FaultyCluster } from './queue/faults.js';
import { INSTALL_REDIS, RedisServer } from './queue/redis-server.js';
import { storedIn } from './queue/stored.js';
import { Random } from './support/random.js';
import { count, existingPath, number, requireProgram, run, script, seed } from './support/script.js';

const STALL_SECONDS = 5;

export const command = script(
  'queue-faults',
  'Embed data sets through a queue while things go wrong: workers are killed, one is paused for longer than the stall limit, ' +
    'and Redis is killed and started again from its append-only file. In the end, the store must hold what one machine makes ' +
    'of the same pictures, with exactly one row each. Prints a line of JSON for each data set; the exit code is 1 if they ' +
    'differ. Needs redis-server.',
  ['--pictures 1000', '~/photos --pictures 0', '--store-at s3://bucket/folder'],
)
  .argument('[datasets...]', 'further data sets, besides the generated pictures', existingPaths, [])
  .option('--pictures <n>', 'small pictures to generate', number({ integer: true, min: 0 }), 20_000)
  .option('--workers <n>', 'worker processes', count, 4)
  .option('--seed <n>', 'seed of the faults', seed, 1)
  .option('--job-size <n>', 'pictures per job', count, 64)
  .option('--model <file>', 'model file of the backbone (default: as for embed)', existingPath)
  .option('--store-at <address>', "where the workers' stores are made, and left (default: a temporary folder)")
  .action(queueFaults);
await run(import.meta.url, command);

interface Options {
  pictures: number;
  workers: number;
  seed: number;
  jobSize: number;
  model?: string | undefined;
  storeAt?: string | undefined;
}

function existingPaths(text: string, before: readonly string[]): string[] {
  return [...before, existingPath(text)];
}

async function queueFaults(given: readonly string[], options: Options): Promise<void> {
  requireProgram('redis-server', INSTALL_REDIS);
  const backbone = await loadBackbone({ model: options.model });
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-faults-'));
  try {
    const datasets = [...given];
    if (options.pictures > 0) datasets.push(await writeSmallPictures(join(folder, 'pictures'), options.pictures));
    for (const [i, dataset] of datasets.entries()) {
      const isSame = await compare(dataset, join(folder, String(i)), backbone, options);
      if (!isSame) process.exitCode = 1;
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Writes JPEGs of random colours, no two the same, in class folders of a thousand. */
async function writeSmallPictures(folder: string, count: number): Promise<string> {
  const limit = pLimit(32);
  const classOf = (i: number) => join(folder, `class-${Math.floor(i / 1000)}`);
  for (let i = 0; i < count; i += 1000) await mkdir(classOf(i), { recursive: true });
  const write = async (i: number) => {
    const random = new Random(i + 1);
    // A few enlarged pixels, which become blots of colour.
    const pixels = Uint8Array.from({ length: 5 * 5 * 3 }, () => random.whole(0, 255));
    await sharp(pixels, { raw: { width: 5, height: 5, channels: 3 } })
      .resize(64, 64)
      .toFile(join(classOf(i), `${i}.jpg`));
  };
  await Promise.all(Array.from({ length: count }, (_, i) => limit(() => write(i))));
  return folder;
}

/** Whether one machine and a faulty cluster store the same for a data set. */
async function compare(
  dataset: string,
  folder: string,
  backbone: Backbone,
  { workers, seed, jobSize, model, storeAt }: Options,
): Promise<boolean> {
  await mkdir(folder);
  const one = join(folder, 'one');
  // In a folder of its own for each run and data set.
  const many = storeAt === undefined ? join(folder, 'many') : [storeAt, ...folder.split('/').slice(-2)].join('/');
  const start = performance.now();
  await embedDataset(dataset, { backbone, store: one });
  const seconds = (performance.now() - start) / 1000;

  const redis = await RedisServer.start(folder);
  const modelFlags = model === undefined ? [] : ['--model', model];
  const flags = ['--threads', '1', '--stalled-after', String(STALL_SECONDS), ...modelFlags];
  const cluster = new FaultyCluster(redis, flags, STALL_SECONDS * 1000, seed);
  try {
    await cluster.start(workers);
    const done = new AbortController();
    const faults = cluster.sufferAtRandom(1_000, 8_000, done.signal);
    const begun = performance.now();
    const { total, embedded, unchanged, failed } = await embedThroughQueue(dataset, {
      backbone,
      store: many,
      queue: redis.url,
      jobSize,
      onNotice: (line) => process.stderr.write(`${line}\n`),
    });
    const underFaults = (performance.now() - begun) / 1000;
    done.abort();
    await faults;
    const codes = await cluster.stop();
    const [expected, found] = [await storedIn(one), await storedIn(many)];
    const same = found.rows === total && found.paths === total && found.digest === expected.digest;
    console.log(
      JSON.stringify({
        dataset,
        total,
        embedded,
        unchanged,
        failed,
        rows: found.rows,
        paths: found.paths,
        same,
        digest: found.digest.slice(0, 16),
        expected: expected.digest.slice(0, 16),
        faults: cluster.counts,
        codes,
        seconds: seconds.toFixed(0),
        underFaults: underFaults.toFixed(0),
      }),
    );
    return same && codes.every((code) => code === 0);
  } finally {
    await cluster.stop();
    await redis.stop();
  }
}
