import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Argument } from 'commander';
import { trendOf, type MemorySample } from './soak/trend.js';
import { WORK } from './soak/work.js';
import { count, datasetArgument, existingPath, number, run, script } from './support/script.js';

const EVERY_MS = 1000;
const WARM_UP = 0.25;
const FLAT = 0.03;

export const command = script(
  'soak',
  `Repeat one kind of work in this process, through the public API, and watch its memory.

  embed         embed the data set into a new store every round, with new threads
  embed-shared  the same, with the same threads in all rounds
  predict       classify its pictures one by one
  serve         send them to a server in this process, four at a time

The first quarter of the time is warm-up. Of the rest, memory is flat if the median of the last third exceeds that of the first
third by at most 3 %. Otherwise the exit code is 1.`,
  ['embed', 'serve ~/photos --minutes 60 --out samples.json'],
)
  .addArgument(new Argument('<kind>', 'kind of work').choices(Object.keys(WORK)))
  .addArgument(datasetArgument())
  .option('--minutes <n>', 'how long', number({ above: 0 }), 30)
  .option('--model <file>', 'model file of the backbone (default: as for embed)', existingPath)
  .option('--threads <n>', 'threads of the backbone', count, 1)
  .option('--out <file>', 'write every sample as JSON')
  .action(soak);
await run(import.meta.url, command);

interface Options {
  minutes: number;
  model?: string | undefined;
  threads: number;
  out?: string | undefined;
}

async function soak(
  kind: keyof typeof WORK,
  dataset: string,
  { minutes, model, threads, out }: Options,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-soak-'));
  const samples: MemorySample[] = [];
  let pictures = 0;
  let rounds = 0;
  try {
    const { round, close } = await WORK[kind]({ folder, dataset, model, threads });
    const start = performance.now();
    const end = start + 60_000 * minutes;
    const timer = setInterval(() => {
      const { rss, heapUsed, external } = process.memoryUsage();
      samples.push({ second: (performance.now() - start) / 1000, rss, heapUsed, external });
    }, EVERY_MS);
    for (; performance.now() < end; rounds++) {
      pictures += await round(rounds);
      const last = samples.at(-1);
      if (last && rounds % 20 === 0) {
        const memory = Math.round(last.rss / 2 ** 20);
        process.stderr.write(`${last.second.toFixed(0)} s, round ${rounds}: ${memory} MiB\n`);
      }
    }
    clearInterval(timer);
    await close();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (out !== undefined) await writeFile(out, JSON.stringify(samples));

  const measured = samples.filter(({ second }) => second >= WARM_UP * 60 * minutes);
  const trends = { rss: trendOf(measured, 'rss'), heapUsed: trendOf(measured, 'heapUsed') };
  console.log(`${kind}: ${minutes} minutes, ${rounds} rounds, ${pictures} pictures of ${dataset}`);
  console.table(trends);
  const isFlat = trends.rss.growth <= FLAT;
  console.log(isFlat ? 'Memory is flat.' : 'Memory grows.');
  process.exitCode = isFlat ? 0 : 1;
}
