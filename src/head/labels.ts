import { LastlayerError, UsageError } from '../util/errors.js';
import { checkInteger, checkNumber, isInRange } from '../util/validate.js';
import type { Part } from './examples.js';

/** Labels as numbers. */
interface EncodedLabels {
  /** The distinct labels, in code unit order whatever the locale. */
  names: string[];
  /** Each row's place in `names`; [M]. */
  classes: Int32Array;
  /** How many rows each class has. */
  counts: number[];
}

/**
 * Numbers the classes.
 * @throws {LastlayerError} where fewer than two classes are left to tell apart, a class has a single example, or a
 *   label is missing
 */
export function encodeLabels(labels: readonly string[]): EncodedLabels {
  const missing = labels.filter((label) => label === '').length;
  if (missing === labels.length) {
    throw new LastlayerError(
      `None of the rows has a label. Put each picture in a folder named after its class, or give ` +
        `labels in a manifest.`,
    );
  }
  if (missing > 0) {
    throw new LastlayerError(
      `${missing} of ${labels.length} rows have no label, the first of them row ${labels.indexOf('')}. Label them or ` +
        `leave them out of training.`,
    );
  }

  const names = [...new Set(labels)].sort();
  const indexOf = new Map(names.map((name, index) => [name, index]));
  const classes = Int32Array.from(labels, (label) => indexOf.get(label) ?? -1);
  const counts = names.map(() => 0);
  for (const c of classes) counts[c] = (counts[c] ?? 0) + 1;

  if (names.length === 1) {
    throw new LastlayerError(
      `All ${labels.length} rows are of one class, ${JSON.stringify(names[0])}: there is nothing to tell apart. Add ` +
        `pictures of at least one other class.`,
    );
  }
  const single = names.filter((_, n) => counts[n] === 1);
  if (single.length === 1) {
    throw new LastlayerError(
      `The class ${listed(single)} has a single training example: too few to learn from. Add at least one more picture ` +
        `of it, or leave the class out.`,
    );
  }
  if (single.length > 1) {
    throw new LastlayerError(
      `The classes ${listed(single)} have a single training example each: too few to learn from. Add at least one more ` +
        `picture of each, or leave the classes out.`,
    );
  }
  return { names, classes, counts };
}

/**
 * Sees to it that embeddings, labels and weights fit together and that every number can be computed with.
 * @throws {LastlayerError} where they do not, or there are no rows
 */
export function checkEmbeddings(
  embeddings: Float32Array,
  width: number,
  labels: readonly unknown[],
  weights?: ArrayLike<number>,
): void {
  checkInteger('width', width, { min: 1, Failure: LastlayerError });
  if (embeddings.length === 0) {
    throw new LastlayerError('There are no embeddings to train on. Embed a data set first.');
  }
  if (embeddings.length % width !== 0) {
    throw new LastlayerError(
      `${embeddings.length} numbers are no whole number of embeddings of ${width} each. Pass the rows one after another.`,
    );
  }
  const rows = embeddings.length / width;
  if (labels.length > 0 && labels.length !== rows) {
    throw new LastlayerError(
      `There are ${rows} embeddings but ${labels.length} labels. Pass one label a row.`,
    );
  }
  if (weights && weights.length !== rows) {
    throw new LastlayerError(
      `There are ${rows} embeddings but ${weights.length} sample weights. Pass one weight a row, or none.`,
    );
  }
  let bad = 0;
  while (bad < embeddings.length && Number.isFinite(embeddings[bad])) bad++;
  if (bad < embeddings.length) {
    throw new LastlayerError(
      `The embedding in row ${Math.floor(bad / width)} holds ${embeddings[bad]!}. Embed that picture again, or ` +
        `leave it out.`,
    );
  }
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 10).map((name) => JSON.stringify(name));
  return shown.join(', ') + (names.length > 10 ? ` and ${names.length - 10} more` : '');
}

/** Sets of labels, each as ascending places among the labels' names. Far fewer are distinct than there are rows. */
export type LabelSets = readonly (readonly number[])[];

/** Rows with any number of labels as numbers. */
interface EncodedLabelSets {
  /** The labels of the rows that are learnt from, in code unit order; N. */
  names: string[];
  sets: LabelSets;
  /** Each row's place in `sets`; [M]. */
  classes: Int32Array;
}

/**
 * Numbers the labels, and the sets of them that rows have. Labels that only rows have that are not learnt from are left out
 * of these rows' sets.
 * @param labels of each row, none or more; [M]
 * @param learnt the rows that are learnt from; default all
 * @throws {LastlayerError} where these have no labels at all, or fewer than two of them have, or lack, some label
 */
export function encodeLabelSets(
  labels: readonly (readonly string[])[],
  learnt: Part = () => true,
): EncodedLabelSets {
  const counts = new Map<string, number>();
  let rows = 0;
  labels.forEach((set, row) => {
    if (!learnt(row)) return;
    rows++;
    for (const label of new Set(set)) counts.set(label, (counts.get(label) ?? 0) + 1);
  });
  checkCounts(counts, rows);
  const names = [...counts.keys()].sort();
  const placeOf = new Map(names.map((name, n) => [name, n]));
  const sets: number[][] = [];
  const setOf = new Map<string, number>();
  const classes = Int32Array.from(labels, (set) => {
    const places = [...new Set(set.flatMap((label) => placeOf.get(label) ?? []))].sort((a, b) => a - b);
    const key = places.join();
    const known = setOf.get(key) ?? sets.push(places) - 1;
    setOf.set(key, known);
    return known;
  });
  return { names, sets, classes };
}

function checkCounts(counts: ReadonlyMap<string, number>, rows: number): void {
  if (counts.size === 0) {
    throw new LastlayerError(
      `None of the ${rows} rows to learn from has a label, so there is nothing to learn. Give some of them labels.`,
    );
  }
  for (const [label, count] of [...counts].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (count >= 2 && rows - count >= 2) continue;
    const [few, what] = count < 2 ? ['positives', 'with'] : ['negatives', 'without'];
    throw new LastlayerError(
      `The label ${JSON.stringify(label)} is on ${count} of the ${rows} rows to learn from: too few ${few}. Add pictures ` +
        `${what} it, until there are at least 2, or leave the label out.`,
    );
  }
}

/** How much each class counts: `none` 1 each, `balanced` all classes alike, or a weight by label (1 where none is given). */
export type ClassWeights = 'none' | 'balanced' | Readonly<Record<string, number>>;

interface WeightOptions {
  names: readonly string[];
  /** Each row's class; −1 for rows that do not take part; [M]. */
  classes: Int32Array;
  /** Each row's own weight, above 0; [M]. */
  sampleWeights?: ArrayLike<number> | undefined;
  classWeights?: ClassWeights | undefined;
}

/**
 * The weight of each row: its own times its class's. `balanced` gives class c the weight Σw / (N · Σw of class c), with
 * 1 for w where rows have no weights of their own: scikit-learn's convention, after which all classes weigh the same.
 * @returns [M]; undefined where every weight is 1
 * @throws {LastlayerError} where a row's weight is not above 0
 * @throws {UsageError} where a class's weight is not above 0, or is given to a class that is not there
 */
export function rowWeights(options: WeightOptions): Float64Array | undefined {
  const { names, classes, sampleWeights, classWeights = 'none' } = options;
  const weights = Float64Array.from(classes, (_, i) => sampleWeights?.[i] ?? 1);
  const bad = weights.findIndex((weight) => !isInRange(weight, { above: 0 }));
  if (bad >= 0) {
    checkNumber(`The weight of row ${bad}`, weights[bad]!, {
      above: 0,
      advice: 'Leave out rows that are not to count.',
      Failure: LastlayerError,
    });
  }
  if (classWeights !== 'none') {
    const ofClass =
      classWeights === 'balanced' ? balanced(names, classes, weights) : givenWeights(names, classWeights);
    for (let i = 0; i < weights.length; i++) {
      weights[i]! *= ofClass[classes[i]!] ?? 1;
    }
  }
  return weights.every((weight) => weight === 1) ? undefined : weights;
}

function balanced(names: readonly string[], classes: Int32Array, weights: Float64Array): number[] {
  const sums = names.map(() => 0);
  classes.forEach((c, i) => {
    if (c >= 0) sums[c] = (sums[c] ?? 0) + weights[i]!;
  });
  const total = sums.reduce((sum, value) => sum + value, 0);
  return sums.map((sum) => (sum > 0 ? total / (names.length * sum) : 1));
}

function givenWeights(names: readonly string[], given: Readonly<Record<string, number>>): number[] {
  for (const [label, weight] of Object.entries(given)) {
    if (!names.includes(label)) {
      throw new UsageError(
        `A weight is given to the class ${JSON.stringify(label)}, which is not among the training examples. The ` +
          `classes are ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}.`,
      );
    }
    checkNumber(`The weight of the class ${JSON.stringify(label)}`, weight, { above: 0 });
  }
  return names.map((name) => given[name] ?? 1);
}
