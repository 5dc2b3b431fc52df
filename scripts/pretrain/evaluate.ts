/**
 * Measures trunks by linear probe, as a user would: embed, then train a head with the defaults. Once on the data set's own
 * split, with the 95 % Wilson interval of its validation pictures; and on random splits of the same sizes, stratified by
 * class, with the mean and the standard deviation of their accuracies, and of what they gain split by split on the first trunk's.
 *
 *     node --import tsx scripts/pretrain/evaluate.ts DATASET… --model untrained --model bundled --model FILE [--splits N]
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { BUNDLED_PATH, loadBackbone, untrainedBackbone, type Backbone } from '../../src/backbone/index.js';
import { openDataset, type DatasetEntry } from '../../src/images/index.js';
import { embedDataset, trainFromStore } from '../../src/index.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', multiple: true, default: [] },
    splits: { type: 'string', default: '10' },
  },
});
const folder = await mkdtemp(join(tmpdir(), 'lastlayer-probe-'));
try {
  for (const dataset of positionals) {
    let first: number[] | undefined;
    for (const name of values.model) {
      const accuracies = await measure(await trunkOf(name), resolve(dataset), Number(values.splits));
      if (first) tellGain(accuracies, first);
      first ??= accuracies;
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}

function trunkOf(name: string): Promise<Backbone> {
  if (name === 'untrained') return untrainedBackbone({ modelsDir: folder });
  return loadBackbone({ model: name === 'bundled' ? BUNDLED_PATH : name });
}

/** Tells how good a trunk is. @returns its accuracies on the random splits */
async function measure(backbone: Backbone, dataset: string, splits: number): Promise<number[]> {
  const store = join(folder, `${basename(dataset)}-${backbone.sha256}`);
  const own = await probe(backbone, dataset, store);
  const [low, high] = own.interval ?? [NaN, NaN];
  const accuracies: number[] = [];
  for (let seed = 1; seed <= splits; seed++) {
    const manifest = join(folder, `split-${seed}.csv`);
    await writeFile(manifest, await shuffledManifest(dataset, seed));
    accuracies.push((await probe(backbone, manifest, store)).accuracy);
  }
  console.log(
    `${basename(dataset)}  ${backbone.id}  own split ${percent(own.accuracy)} (${percent(low)} to ${percent(high)})  ` +
      `${splits} splits ${spread(accuracies)}`,
  );
  return accuracies;
}

function tellGain(accuracies: readonly number[], first: readonly number[]): void {
  const gains = accuracies.map((accuracy, i) => accuracy - (first[i] ?? NaN));
  const better = gains.filter((gain) => gain > 0).length;
  console.log(`  on the first trunk: ${spread(gains)}, better on ${better} of ${gains.length} splits`);
}

/** Mean and standard deviation, in percent. */
function spread(of: readonly number[]): string {
  const mean = of.reduce((sum, value) => sum + value, 0) / of.length;
  const variance = of.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (of.length - 1);
  return `${percent(mean)} ± ${percent(Math.sqrt(variance))}`;
}

function percent(value: number): string {
  return (100 * value).toFixed(1);
}

async function probe(backbone: Backbone, dataset: string, store: string) {
  await embedDataset(dataset, { backbone, store });
  const { validation } = await trainFromStore({ store, dataset });
  if (typeof validation?.accuracy !== 'number') throw new Error(`${dataset} has no validation pictures.`);
  return { accuracy: validation.accuracy, interval: validation.accuracyInterval };
}

/** A manifest of the same pictures, of which each class keeps its numbers of training and validation pictures. */
async function shuffledManifest(dataset: string, seed: number): Promise<string> {
  const random = xoroshiro128plus(seed);
  const classes = new Map<string, DatasetEntry[]>();
  for await (const entry of (await openDataset(dataset)).entries()) {
    if (entry.label === undefined || entry.split === undefined) continue;
    classes.set(entry.label, [...(classes.get(entry.label) ?? []), entry]);
  }
  const rows = [...classes].flatMap(([label, entries]) => {
    const order = entries
      .map(({ path }) => ({ path, key: uniformFloat64(random) }))
      .sort((a, b) => a.key - b.key);
    const splits = entries.map(({ split }) => split).sort();
    return order.map(({ path }, i) => `"${path}","${label}",${splits[i]}`);
  });
  return ['path,label,split', ...rows, ''].join('\n');
}
