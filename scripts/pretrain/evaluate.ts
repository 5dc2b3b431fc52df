import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { Backbone } from '../../src/backbone/backbone.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { BUNDLED_PATH } from '../../src/backbone/models.js';
import { untrainedBackbone } from '../support/untrained.js';
import { trainFromStore } from '../../src/classify/train.js';
import type { Split } from '../../src/data/dataset.js';
import { openDataset } from '../../src/data/open.js';
import { embedDataset } from '../../src/embed/embed.js';
import { readEmbeddings } from '../../src/embed/read-embeddings.js';
import { LastlayerError } from '../../src/util/errors.js';
import { percent } from '../../src/util/format.js';
import { sum } from '../../src/util/math.js';
import { count, existingPath, run, script } from '../support/script.js';
import { meanOf } from '../support/statistics.js';

const FOLDS = 10;

export const command = script(
  'pretrain-evaluate',
  `Measure backbones by linear probe, as a user would: embed, then train a head with the defaults.

- On the data set's own split, with the 95 % Wilson interval of its validation pictures.
- On random splits of the same sizes, stratified by class: mean and standard deviation of the accuracies.
- By repeated ten-fold cross-validation over all pictures. Every picture is evaluated once per repeat, by a head that was not
  trained on it.

From the second backbone on, also prints the gain over the first one; that of cross-validation is a mean over pictures, with its
95 % interval.`,
  ['~/photos --model untrained --model bundled --model models/resnet18.onnx'],
)
  .argument('<datasets...>', 'labelled data sets with a validation split', (text, before?: string[]) => [
    ...(before ?? []),
    existingPath(text),
  ])
  .requiredOption('--model <name>', 'untrained, bundled or a model file; can be repeated', models)
  .option('--splits <n>', 'random splits', count, 10)
  .option('--repeats <n>', 'repeats of the cross-validation', count, 5)
  .action(evaluate);
await run(import.meta.url, command);

interface Options {
  model: string[];
  splits: number;
  repeats: number;
}

/** Paths of manifests that list the same pictures with other splits. */
interface Manifests {
  /** Random splits of the same sizes. */
  splits: string[];
  /** Each has one fold as validation split; those of one repeat have every picture in it once. */
  folds: string[];
  repeats: number;
}

interface Measured {
  /** Accuracies on the random splits. */
  accuracies: number[];
  /** By path, how often the heads that were not trained on a picture predicted its label, from 0 to 1. */
  right: Map<string, number>;
}

type Classes = Map<string, { path: string; split: Split }[]>;

function models(text: string, before?: string[]): string[] {
  return [...(before ?? []), ['untrained', 'bundled'].includes(text) ? text : existingPath(text)];
}

async function evaluate(datasets: readonly string[], { model, ...counts }: Options): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-probe-'));
  try {
    for (const dataset of datasets) {
      const manifests = await writeManifests(folder, dataset, counts);
      let first: Measured | undefined;
      for (const name of model) {
        const measured = await measure(folder, await backboneNamed(name, folder), dataset, manifests);
        if (first) printGain(measured, first);
        first ??= measured;
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Splits the pictures of a data set anew, the same for all backbones. */
async function writeManifests(
  folder: string,
  dataset: string,
  counts: { splits: number; repeats: number },
): Promise<Manifests> {
  const classes = await classesOf(dataset);
  const [splits, folds]: [string[], string[]] = [[], []];
  for (let seed = 1; seed <= counts.splits; seed++) {
    const file = join(folder, `split-${seed}.csv`);
    splits.push(await writeManifest(file, classes, seed, (_, split) => split));
  }
  for (let repeat = 0; repeat < counts.repeats; repeat++) {
    for (let fold = 0; fold < FOLDS; fold++) {
      const file = join(folder, `fold-${repeat}-${fold}.csv`);
      const splitOf = (i: number) => (i % FOLDS === fold ? 'val' : 'train');
      folds.push(await writeManifest(file, classes, repeat, splitOf));
    }
  }
  return { splits, folds, repeats: counts.repeats };
}

/** The pictures that have a label and a split, by class. */
async function classesOf(dataset: string): Promise<Classes> {
  const classes: Classes = new Map();
  for await (const { path, label, split } of (await openDataset(dataset)).entries()) {
    if (label === undefined || split === undefined) continue;
    classes.set(label, [...(classes.get(label) ?? []), { path, split }]);
  }
  return classes;
}

/**
 * Writes a manifest that lists the pictures of each class in random order.
 * @param splitOf gives the split of picture i of a class; its second argument is the i-th of the class's own splits, sorted
 * @returns the file
 */
async function writeManifest(
  file: string,
  classes: Classes,
  seed: number,
  splitOf: (i: number, split: Split) => Split,
): Promise<string> {
  const random = xoroshiro128plus(seed);
  const rows = [...classes].flatMap(([label, entries]) => {
    const order = entries.map(({ path }) => ({ path, key: uniformFloat64(random) })).sort((a, b) => a.key - b.key);
    const splits = entries.map(({ split }) => split).sort();
    return order.map(({ path }, i) => `"${path}","${label}",${splitOf(i, splits[i]!)}`);
  });
  await writeFile(file, ['path,label,split', ...rows, ''].join('\n'));
  return file;
}

function backboneNamed(name: string, folder: string): Promise<Backbone> {
  if (name === 'untrained') return untrainedBackbone({ modelsDir: folder });
  return loadBackbone({ model: name === 'bundled' ? BUNDLED_PATH : name });
}

async function measure(folder: string, backbone: Backbone, dataset: string, manifests: Manifests): Promise<Measured> {
  const store = join(folder, `${basename(dataset)}-${backbone.sha256}`);
  const own = await probe(backbone, dataset, store);
  const [low, high] = own.interval ?? [NaN, NaN];
  const accuracies: number[] = [];
  for (const manifest of manifests.splits) accuracies.push((await probe(backbone, manifest, store)).accuracy);
  const right = await crossValidate(backbone, manifests, store);
  console.log(
    `${basename(dataset)}  ${backbone.id}  own split ${percent(own.accuracy)} (${percent(low)} to ${percent(high)})  ` +
      `${accuracies.length} splits ${spread(accuracies)}  ` +
      `cross-validated ${percent(meanOf([...right.values()]))}`,
  );
  return { accuracies, right };
}

/** Embeds a data set, trains a head and evaluates it on the validation split. */
async function probe(backbone: Backbone, dataset: string, store: string) {
  await embedDataset(dataset, { backbone, store });
  const { head, validation } = await trainFromStore({ store, dataset });
  if (!validation || !('accuracy' in validation) || validation.accuracy === null)
    throw new LastlayerError(`${dataset} has no validation pictures.`);
  return { head, accuracy: validation.accuracy, interval: validation.accuracyInterval };
}

async function crossValidate(
  backbone: Backbone,
  { folds, repeats }: Manifests,
  store: string,
): Promise<Map<string, number>> {
  const right = new Map<string, number>();
  for (const manifest of folds) {
    const { head } = await probe(backbone, manifest, store);
    await readEmbeddings(manifest, {
      backbone,
      store,
      split: 'val',
      onRow: ({ path, label, embedding }) => {
        if (!embedding) throw new LastlayerError(`${path} has no embedding.`);
        const isRight = head.predict(embedding)[0]?.[0]?.label === label;
        right.set(path, (right.get(path) ?? 0) + Number(isRight) / repeats);
      },
    });
  }
  return right;
}

function printGain({ accuracies, right }: Measured, first: Measured): void {
  const gains = accuracies.map((accuracy, i) => accuracy - first.accuracies[i]!);
  const better = gains.filter((gain) => gain > 0).length;
  const byPicture = [...right].map(([path, fraction]) => fraction - (first.right.get(path) ?? NaN));
  const gain = meanOf(byPicture);
  const half = (1.96 * deviationOf(byPicture)) / Math.sqrt(byPicture.length);
  console.log(
    `  gain over the first backbone: splits ${spread(gains)}, better on ${better} of ${gains.length};  ` +
      `cross-validated ${percent(gain)} (${percent(gain - half)} to ${percent(gain + half)})`,
  );
}

/** Mean and standard deviation. */
function spread(values: readonly number[]): string {
  return `${percent(meanOf(values))} ± ${percent(deviationOf(values))}`;
}

function deviationOf(values: readonly number[]): number {
  const mean = meanOf(values);
  return Math.sqrt(sum(values.map((value) => (value - mean) ** 2)) / (values.length - 1));
}
