import { LastlayerError } from '../errors.js';

/** Labels as numbers. */
export interface EncodedLabels {
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
  if (!Number.isInteger(width) || width < 1) {
    throw new LastlayerError(
      `The width of an embedding is ${width}; it must be a whole number of 1 or more.`,
    );
  }
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
      `The embedding in row ${Math.floor(bad / width)} holds ${embeddings[bad] ?? NaN}. Embed that picture again, or ` +
        `leave it out.`,
    );
  }
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, 10).map((name) => JSON.stringify(name));
  return shown.join(', ') + (names.length > 10 ? ` and ${names.length - 10} more` : '');
}
