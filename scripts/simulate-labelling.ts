import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadBackbone } from '../src/backbone/load.js';
import { embedDataset } from '../src/embed/embed.js';
import { type LabelPictures, readPictures } from '../src/label/pictures.js';
import { LastlayerError } from '../src/util/errors.js';
import { Oracle, STRATEGIES, type Strategy, type Truth } from './simulate-labelling/oracle.js';
import { Random } from './support/random.js';
import { meanWithInterval } from './support/statistics.js';
import { count, existingPath, number, run, script } from './support/script.js';

/** The target counts as reached if so many fits in a row reach it: the first of them. */
const IN_A_ROW = 3;

export const command = script(
  'simulate-labelling',
  'Measure what the queue "next to label" of `npm run label` is worth: how many labels a head needs to reach a share of the accuracy ' +
    'that all labels give, with the queue and with pictures drawn at random. A data set has the folders train and val: a part of ' +
    'train, another for each seed, is labelled from nothing by its true labels; accuracy is measured on val. The queue and the fits ' +
    'are those of the command.',
  ['~/photos', '~/photos ~/others --seeds 10 --model resnet18'],
)
  .argument('<dataset...>', 'folders with train and val')
  .option('--seeds <n>', 'parts of the training pictures to start from', count, 10)
  .option('--share <fraction>', 'how large these parts are', number({ above: 0, max: 1 }), 0.8)
  .option('--batch <n>', 'labels between two fits', count, 5)
  .option('--target <fraction>', 'share of the accuracy of all labels to reach', number({ above: 0, max: 1 }), 0.95)
  .option('--model <name|file>', 'backbone (default: resnet18 if there is one, else the bundled one)')
  .option('--store <dir>', 'store to keep the embeddings in (default: a temporary one)', existingPath)
  .action(simulate);
await run(import.meta.url, command);

interface Options {
  seeds: number;
  share: number;
  batch: number;
  target: number;
  model?: string | undefined;
  store?: string | undefined;
}

async function simulate(datasets: readonly string[], options: Options): Promise<void> {
  const backbone = await loadBackbone({ model: options.model });
  const store = options.store ?? (await mkdtemp(join(tmpdir(), 'lastlayer-simulate-')));
  try {
    for (const dataset of datasets) {
      const { dataset: path } = await embedDataset(dataset, { backbone, store });
      const { pictures, listed } = await readPictures(path, { backbone, store });
      const truth = listed.map(({ label, split }) => ({ label, split }));
      await simulateOn(path, pictures, truth, options);
    }
  } finally {
    if (options.store === undefined) await rm(store, { recursive: true, force: true });
  }
}

async function simulateOn(path: string, pictures: LabelPictures, truth: Truth, options: Options): Promise<void> {
  const needed: Record<Strategy, number[]> = { next: [], random: [] };
  const accuracies: number[] = [];
  for (let seed = 1; seed <= options.seeds; seed++) {
    const random = new Random(seed);
    const part = truth.map(({ split }) => split === 'train' && random.chance(options.share));
    const all = new Oracle(pictures, truth, part);
    await all.labelAll();
    const whole = await all.accuracy();
    await all.release();
    accuracies.push(whole);
    for (const strategy of STRATEGIES) {
      const labels = await labelsNeeded(
        new Oracle(pictures, truth, part),
        strategy,
        options.target * whole,
        options,
        random,
      );
      needed[strategy].push(labels);
    }
    process.stderr.write(
      `seed ${seed}: all labels ${whole.toFixed(3)}; next ${needed.next.at(-1)!}, random ${needed.random.at(-1)!}\n`,
    );
  }
  const ratios = needed.next.map((labels, i) => labels / needed.random[i]!);
  console.log(
    `${path}: accuracy with all labels ${meanWithInterval(accuracies, 3)}; labels to ${100 * options.target} % of it:`,
  );
  for (const strategy of STRATEGIES) console.log(`  ${strategy.padEnd(7)} ${meanWithInterval(needed[strategy], 1)}`);
  console.log(`  ratio   ${meanWithInterval(ratios, 2)}`);
}

async function labelsNeeded(
  oracle: Oracle,
  strategy: Strategy,
  target: number,
  { batch }: Options,
  random: Random,
): Promise<number> {
  let [labelled, reached, first] = [0, 0, 0];
  while (reached < IN_A_ROW) {
    const labels = await oracle.label(strategy, batch, random);
    if (labels === 0) throw new LastlayerError(`The accuracy ${target} is not reached with all ${labelled} labels.`);
    labelled += labels;
    if ((await oracle.accuracy()) < target) reached = 0;
    else if (reached++ === 0) first = labelled;
  }
  await oracle.release();
  return first;
}
