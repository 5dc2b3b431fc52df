/**
 * Runs one kind of work in a loop in this process, through the public API, and watches its memory.
 *
 *     node --import tsx scripts/soak.ts KIND [DATASET] [--minutes N] [--model FILE] [--threads N] [--out FILE]
 *
 * embed         embeds the data set into a new store every round, with threads that are started for it
 * embed-shared  does so with the same threads in all rounds
 * predict       classifies its pictures one by one
 * serve         sends them to a server in this process, four at a time
 *
 * The first quarter of the time counts as warm-up. Memory is flat where the median of the last third of what follows exceeds that
 * of the first third by no more than 3 %; the exit code is 1 where it is not. `--out` gets every sample as JSON.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { trendOf, type MemorySample } from './soak/trend.js';
import { WORK, isKind } from './soak/work.js';

const EVERY_MS = 1000;
const WARM_UP = 0.25;
const FLAT = 0.03;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: 'string', default: '30' },
    model: { type: 'string' },
    threads: { type: 'string', default: '1' },
    out: { type: 'string' },
  },
});
const [kind = 'embed', dataset = 'test/fixtures/examples'] = positionals;
if (!isKind(kind)) throw new Error(`${kind} is no kind of work; one of ${Object.keys(WORK).join(', ')} is.`);

const folder = await mkdtemp(join(tmpdir(), 'lastlayer-soak-'));
const samples: MemorySample[] = [];
let pictures = 0;
let rounds = 0;
try {
  const setting = { folder, dataset: resolve(dataset), threads: Number(values.threads) };
  const { round, close } = await WORK[kind]({
    ...setting,
    ...(values.model && { model: resolve(values.model) }),
  });
  const start = performance.now();
  const end = start + 60_000 * Number(values.minutes);
  const timer = setInterval(() => {
    const { rss, heapUsed, external } = process.memoryUsage();
    samples.push({ second: (performance.now() - start) / 1000, rss, heapUsed, external });
  }, EVERY_MS);
  for (; performance.now() < end; rounds++) {
    pictures += await round(rounds);
    if (rounds % 20 === 0) tell();
  }
  clearInterval(timer);
  await close();
} finally {
  await rm(folder, { recursive: true, force: true });
}
if (values.out) await writeFile(values.out, JSON.stringify(samples));

const from = samples.findIndex(({ second }) => second >= WARM_UP * 60 * Number(values.minutes));
const measured = samples.slice(from);
const trends = { rss: trendOf(measured, 'rss'), heapUsed: trendOf(measured, 'heapUsed') };
console.log(
  `${kind}: ${values.minutes} minutes, ${rounds} rounds, ${pictures} pictures of ${resolve(dataset)}`,
);
console.table(trends);
const isFlat = trends.rss.growth <= FLAT;
console.log(isFlat ? 'Memory is flat.' : 'Memory grows.');
process.exitCode = isFlat ? 0 : 1;

function tell(): void {
  const last = samples.at(-1);
  if (last)
    process.stderr.write(
      `${last.second.toFixed(0)} s, round ${rounds}: ${Math.round(last.rss / 2 ** 20)} MiB\n`,
    );
}
