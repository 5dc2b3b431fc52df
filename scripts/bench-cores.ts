import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { modelFile } from '../src/backbone/models.js';
import { enlargePhotographs } from './bench/enlarge.js';
import { pinnedTo } from './queue/worker-process.js';
import { runProcess } from './support/run-process.js';
import { count, datasetArgument, number, requireProgram, run, script } from './support/script.js';
import { median } from './support/statistics.js';

const CHILD = fileURLToPath(new URL('./bench/run-cores.ts', import.meta.url));

/** Machines to foretell. */
const MACHINES = [4, 16, 64, 128];

export const command = script(
  'bench-cores',
  'Measure what a picture costs the processor, and its share of the one thread that runs JavaScript, on one core and on all; ' +
    'and the memory of a thread of the backbone. Says what larger machines reach and take by these: all cores are busy until ' +
    'the one thread is. The rates on one core and on all show how good that is. Needs Linux and taskset.',
  ['~/photos', '~/photos --model resnet18 --megapixels 12'],
)
  .addArgument(datasetArgument())
  .option('--model <file>', 'model: name, id or file', 'resnet18.int8')
  .option('--rounds <n>', 'how often each setting runs', count, 3)
  .option('--megapixels <n>', 'enlarge the photographs to this size first, as phones take them', number({ min: 1 }))
  .option('--pictures <n>', 'how many to enlarge', count, 120)
  .action(benchCores);
await run(import.meta.url, command);

interface Options {
  model: string;
  rounds: number;
  megapixels?: number;
  pictures: number;
}

interface Costs {
  /** Pictures a second. */
  rate: number;
  /** Processor time of a picture, and of it that of the main thread, in ms. */
  processor: number;
  main: number;
  /** MiB */
  memory: number;
}

async function benchCores(given: string, { model: named, rounds, megapixels, pictures }: Options): Promise<void> {
  requireProgram('taskset', 'It is part of util-linux.');
  const model = await modelFile(named);
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-bench-'));
  try {
    const dataset =
      megapixels === undefined ? given : await enlargePhotographs(given, folder, { megapixels, count: pictures });
    const cores = availableParallelism();
    const settings = [
      { name: 'one core', pinned: pinnedTo(0), threads: 1 },
      { name: `${cores} cores`, pinned: [], threads: cores },
      { name: `${cores} cores, ${4 * cores} threads`, pinned: [], threads: 4 * cores },
    ];
    const measured = settings.map((): Costs[] => []);
    for (let round = 1; round <= rounds; round++) {
      for (const [i, { name, pinned, threads }] of settings.entries()) {
        process.stderr.write(`round ${round} of ${rounds}: ${name}\n`);
        const program = [process.execPath, '--import', 'tsx', CHILD, model, dataset, folder, String(threads)];
        const [first = '', ...args] = [...pinned, ...program];
        measured[i]!.push(JSON.parse(await runProcess(first, args)) as Costs);
      }
    }
    const [one, all, many] = measured.map(medians);
    for (const [i, { name }] of settings.entries()) {
      const { rate, processor, main, memory } = medians(measured[i]!);
      console.log(
        `${name}: ${rate.toFixed(1)} pictures a second; ${processor.toFixed(2)} ms of processor time a picture, ` +
          `${main.toFixed(2)} of it in the main thread; ${memory.toFixed(0)} MiB`,
      );
    }
    const perThread = (many!.memory - all!.memory) / (3 * cores);
    console.log(`\n${cores} cores by one core: ${(foretell(one!, cores) / all!.rate).toFixed(2)} of what was measured`);
    console.log(`four times the threads: ${(many!.rate / all!.rate).toFixed(2)} of the rate\n`);
    for (const machine of MACHINES) {
      const memory = all!.memory + perThread * (machine - cores);
      console.log(
        `${machine} cores: ${(foretell(all!, machine) / all!.rate).toFixed(1)} times the rate of ${cores}, ` +
          `${(memory / 1024).toFixed(1)} GiB`,
      );
    }
  } finally {
    await rm(folder, { recursive: true });
  }
}

function medians(costs: readonly Costs[]): Costs {
  const of = (figure: keyof Costs) => median(costs.map((cost) => cost[figure]));
  return { rate: of('rate'), processor: of('processor'), main: of('main'), memory: of('memory') };
}

/** Pictures a second: every core is busy until the main thread is. */
function foretell({ processor, main }: Costs, cores: number): number {
  return Math.min((1000 * cores) / processor, 1000 / main);
}
