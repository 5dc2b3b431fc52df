/**
 * Measures backbones by linear probe, as a user would: embed, then train a head with the defaults.
 * - On the data set's own split, with the 95 % Wilson interval of its validation pictures.
 * - On random splits of the same sizes, stratified by class: mean and standard deviation of the accuracies.
 * - By repeated cross-validation: ten folds over all pictures, dealt anew several times, so that each picture is judged as often by
 *   heads that have not seen it. What a backbone gains on the first one is a mean over pictures, told with its 95 % interval.
 *
 *     node --import tsx scripts/pretrain/evaluate.ts DATASET… --model untrained --model bundled --model FILE
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { Backbone } from '../../src/backbone/backbone.js';
import { BUNDLED_PATH, loadBackbone, untrainedBackbone } from '../../src/backbone/load.js';
import { trainFromStore } from '../../src/classify/train.js';
import type { Split } from '../../src/data/dataset.js';
import { openDataset } from '../../src/data/open.js';
import { embedDataset } from '../../src/embed/embed.js';
import { readEmbeddings } from '../../src/embed/read-embeddings.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', multiple: true, default: [] },
    splits: { type: 'string', default: '10' },
    repeats: { type: 'string', default: '5' },
  },
});
const FOLDS = 10;
const folder = await mkdtemp(join(tmpdir(), 'lastlayer-probe-'));
try {
  for (const dataset of positionals.map((path) => resolve(path))) {
    const manifests = await deal(dataset);
    let first: Measured | undefined;
    for (const name of values.model) {
      const measured = await measure(await backboneNamed(name), dataset, manifests);
      if (first) tellGain(measured, first);
      first ??= measured;
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Paths of manifests of the same pictures, dealt anew. */
interface Manifests {
  /** Random splits of the same sizes. */
  splits: string[];
  /** Those of each repeat have one fold each as validation split, and together all pictures. */
  folds: string[];
}

interface Measured {
  /** Accuracies on the random splits. */
  accuracies: number[];
  /** Of every picture, by path: how often the heads of its folds were right, 0 to 1. */
  right: Map<string, number>;
}

function backboneNamed(name: string): Promise<Backbone> {
  if (name === 'untrained') return untrainedBackbone({ modelsDir: folder });
  return loadBackbone({ model: name === 'bundled' ? BUNDLED_PATH : name });
}

/** Measures a backbone and tells how good it is. */
async function measure(backbone: Backbone, dataset: string, { splits, folds }: Manifests): Promise<Measured> {
  const store = join(folder, `${basename(dataset)}-${backbone.sha256}`);
  const own = await probe(backbone, dataset, store);
  const [low, high] = own.interval ?? [NaN, NaN];
  const accuracies: number[] = [];
  for (const manifest of splits) accuracies.push((await probe(backbone, manifest, store)).accuracy);
  const right = await crossValidated(backbone, folds, store);
  console.log(
    `${basename(dataset)}  ${backbone.id}  own split ${percent(own.accuracy)} (${percent(low)} to ${percent(high)})  ` +
      `${accuracies.length} splits ${spread(accuracies)}  ` +
      `cross-validated ${percent(meanOf([...right.values()]))}`,
  );
  return { accuracies, right };
}

function tellGain({ accuracies, right }: Measured, first: Measured): void {
  const gains = accuracies.map((accuracy, i) => accuracy - (first.accuracies[i] ?? NaN));
  const better = gains.filter((gain) => gain > 0).length;
  const byPicture = [...right].map(([path, share]) => share - (first.right.get(path) ?? NaN));
  const gain = meanOf(byPicture);
  const half = (1.96 * deviationOf(byPicture)) / Math.sqrt(byPicture.length);
  console.log(
    `  on the first backbone: splits ${spread(gains)}, better on ${better} of ${gains.length};  ` +
      `cross-validated ${percent(gain)} (${percent(gain - half)} to ${percent(gain + half)})`,
  );
}

/** Mean and standard deviation, in percent. */
function spread(of: readonly number[]): string {
  return `${percent(meanOf(of))} ± ${percent(deviationOf(of))}`;
}

function meanOf(of: readonly number[]): number {
  return of.reduce((sum, value) => sum + value, 0) / of.length;
}

function deviationOf(of: readonly number[]): number {
  const mean = meanOf(of);
  return Math.sqrt(of.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (of.length - 1));
}

function percent(value: number): string {
  return (100 * value).toFixed(1);
}

async function probe(backbone: Backbone, dataset: string, store: string) {
  await embedDataset(dataset, { backbone, store });
  const { head, validation } = await trainFromStore({ store, dataset });
  if (!validation || !('accuracy' in validation) || validation.accuracy === null)
    throw new Error(`${dataset} has no validation pictures.`);
  return { head, accuracy: validation.accuracy, interval: validation.accuracyInterval };
}

/** Judges every picture once a repeat, by a head that was trained on the other folds. */
async function crossValidated(
  backbone: Backbone,
  folds: readonly string[],
  store: string,
): Promise<Map<string, number>> {
  const right = new Map<string, number>();
  for (const manifest of folds) {
    const { head } = await probe(backbone, manifest, store);
    await readEmbeddings(manifest, {
      ...{ backbone, store, split: 'val' },
      onRow: ({ path, label, embedding }) => {
        if (!embedding) throw new Error(`${path} has no embedding.`);
        const isRight = head.predict(embedding)[0]?.[0]?.label === label;
        right.set(path, (right.get(path) ?? 0) + Number(isRight) / Number(values.repeats));
      },
    });
  }
  return right;
}

/** Deals the pictures of a data set, for all backbones alike. */
async function deal(dataset: string): Promise<Manifests> {
  const classes = await classesOf(dataset);
  const [splits, folds]: [string[], string[]] = [[], []];
  for (let seed = 1; seed <= Number(values.splits); seed++) {
    splits.push(await writeManifest(`split-${seed}.csv`, classes, seed, (_, split) => split));
  }
  for (let repeat = 0; repeat < Number(values.repeats); repeat++) {
    for (let fold = 0; fold < FOLDS; fold++) {
      const splitOf = (i: number) => (i % FOLDS === fold ? 'val' : 'train');
      folds.push(await writeManifest(`fold-${repeat}-${fold}.csv`, classes, repeat, splitOf));
    }
  }
  return { splits, folds };
}

type Classes = Map<string, { path: string; split: Split }[]>;

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
 * Writes a manifest of the same pictures, those of each class in an order drawn from the seed.
 * @param splitOf gives the split of picture i of a class; its second argument goes through the class's splits as they were
 * @returns its path
 */
async function writeManifest(
  name: string,
  classes: Classes,
  seed: number,
  splitOf: (i: number, split: Split) => Split,
): Promise<string> {
  const random = xoroshiro128plus(seed);
  const rows = [...classes].flatMap(([label, entries]) => {
    const order = entries
      .map(({ path }) => ({ path, key: uniformFloat64(random) }))
      .sort((a, b) => a.key - b.key);
    const splits = entries.map(({ split }) => split).sort();
    return order.map(({ path }, i) => `"${path}","${label}",${splitOf(i, splits[i] ?? 'train')}`);
  });
  const manifest = join(folder, name);
  await writeFile(manifest, ['path,label,split', ...rows, ''].join('\n'));
  return manifest;
}
