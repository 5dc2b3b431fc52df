/**
 * Embeds data sets through a queue while things go wrong: workers are killed, one is paused for longer than the stall limit,
 * Redis is killed and started again on its append-only file. What is in the store at the end must be what one machine makes of
 * the same pictures, with exactly one row for each.
 *
 *     npm run queue-faults -- [FOLDER …] [--pictures 20000] [--workers 4] [--seed 1] [--job-size 64] [--model FILE]
 *       [--store-at s3://bucket/folder]
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { loadBackbone } from '../src/backbone/load.js';
import { embedDataset } from '../src/embed/embed.js';
import { embedThroughQueue } from '../src/embed/queue/producer.js';
import { FaultyCluster } from './queue/faults.js';
import { RedisServer } from './queue/redis-server.js';
import { writeSmallPictures } from './queue/small-pictures.js';
import { storedIn } from './queue/stored.js';

const STALL_SECONDS = 5;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pictures: { type: 'string', default: '20000' },
    workers: { type: 'string', default: '4' },
    seed: { type: 'string', default: '1' },
    'job-size': { type: 'string', default: '64' },
    model: { type: 'string' },
    // Where the workers' stores are made, each in a folder of its own that is left there; by default, in a temporary folder.
    'store-at': { type: 'string' },
  },
});
const folder = await mkdtemp(join(tmpdir(), 'lastlayer-faults-'));
const backbone = await loadBackbone(values.model === undefined ? {} : { model: values.model });
const results: boolean[] = [];
try {
  const datasets = positionals.map((path) => resolve(path));
  if (Number(values.pictures) > 0) {
    const generated = join(folder, 'pictures');
    await writeSmallPictures(generated, Number(values.pictures));
    datasets.push(generated);
  }
  for (const [i, dataset] of datasets.entries())
    results.push(await compare(dataset, join(folder, String(i))));
} finally {
  await rm(folder, { recursive: true });
}
process.exitCode = results.every(Boolean) ? 0 : 1;

/** Whether one machine and a faulty cluster make the same of a data set. */
async function compare(dataset: string, own: string): Promise<boolean> {
  await mkdir(own);
  const one = join(own, 'one');
  const storeAt = values['store-at'];
  const many = storeAt === undefined ? join(own, 'many') : `${storeAt}/${basename(folder)}/${basename(own)}`;
  const start = performance.now();
  await embedDataset(dataset, { backbone, store: one });
  const seconds = (performance.now() - start) / 1000;

  const redis = await RedisServer.start(own);
  const model = values.model === undefined ? [] : ['--model', values.model];
  const flags = ['--threads', '1', '--stalled-after', String(STALL_SECONDS), ...model];
  const cluster = new FaultyCluster(redis, flags, STALL_SECONDS * 1000, Number(values.seed));
  try {
    await cluster.start(Number(values.workers));
    const done = new AbortController();
    const faults = cluster.sufferAtRandom(1_000, 8_000, done.signal);
    const begun = performance.now();
    const { total, embedded, unchanged, failed } = await embedThroughQueue(dataset, {
      ...{ backbone, store: many, queue: redis.url, jobSize: Number(values['job-size']) },
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
        ...{ dataset, total, embedded, unchanged, failed, rows: found.rows, paths: found.paths, same },
        ...{
          digest: found.digest.slice(0, 16),
          expected: expected.digest.slice(0, 16),
          faults: cluster.counts,
          codes,
        },
        ...{ seconds: seconds.toFixed(0), underFaults: underFaults.toFixed(0) },
      }),
    );
    return same && codes.every((code) => code === 0);
  } finally {
    await cluster.stop();
    await redis.stop();
  }
}
