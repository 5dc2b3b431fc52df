import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { diskFull } from './faults/disk-full.js';
import { killEmbed } from './faults/kill-embed.js';
import { killExport, killFetchModel, killQuantize, killTrainHead } from './faults/kill-files.js';
import { killLabel } from './faults/kill-label.js';
import { movingPictures } from './faults/moving-pictures.js';
import { NotHere, type Scenario } from './faults/scenario.js';
import { deletedStore, readOnlyStore } from './faults/store-gone.js';
import { together } from './faults/together.js';
import { Random } from './support/random.js';
import { count, datasetArgument, existingPath, namesOf, run, script, seed } from './support/script.js';

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'kill-embed': killEmbed,
  'kill-train-head': killTrainHead,
  'kill-export': killExport,
  'kill-fetch-model': killFetchModel,
  'kill-quantize': killQuantize,
  'kill-label': killLabel,
  'disk-full': diskFull,
  'read-only-store': readOnlyStore,
  'deleted-store': deletedStore,
  'moving-pictures': movingPictures,
  together,
};
const NAMES = Object.keys(SCENARIOS);

export const command = script(
  'faults',
  'Cause faults while the real command line is working, and check that nothing is lost, torn or left behind. The data set is ' +
    'copied, never changed. A seed always gives the same times of the faults, though a process is never at exactly the same ' +
    `point twice.\n\nScenarios: ${NAMES.join(', ')}.`,
  ['', '--only kill-embed --rounds 25', '~/photos --only disk-full,together --seed 3'],
)
  .addArgument(datasetArgument())
  .option('--only <names>', 'scenarios to run, separated by commas (default: all)', namesOf(NAMES), NAMES)
  .option('--rounds <n>', 'kills, or repetitions, of each scenario', count, 10)
  .option('--seed <n>', 'seed of the random times', seed, 1)
  .option('--model <file>', 'model file of the backbone (default: the bundled one)', existingPath)
  .action(faults);
await run(import.meta.url, command);

interface Options {
  only: string[];
  rounds: number;
  seed: number;
  model?: string | undefined;
}

async function faults(dataset: string, { only, rounds, seed, model }: Options): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'lastlayer-faults-'));
  let failed = false;
  for (const name of only) {
    const folder = join(root, name);
    await mkdir(folder, { recursive: true });
    const onProgress = (line: string) => process.stderr.write(`${name}: ${line}\n`);
    const random = new Random(seed);
    try {
      const report = await SCENARIOS[name]!({ folder, dataset, model, rounds, random, onProgress });
      console.log(`${name}: ${report.faults} faults. ${report.seen}`);
      await rm(folder, { recursive: true, force: true });
    } catch (error) {
      if (error instanceof NotHere) console.log(`${name}: skipped, because ${error.message}`);
      else {
        failed = true;
        console.log(`${name}: FAILED: ${String(error)}`);
        console.error(error);
      }
    }
  }
  if (failed) {
    process.exitCode = 1;
    console.log(`What the failures left is in ${root}`);
  } else await rm(root, { recursive: true, force: true });
}
