import { LastlayerError, UsageError } from '../errors.js';

/** How much each class counts: `none` 1 each, `balanced` all classes alike, or a weight by label (1 where none is given). */
export type ClassWeights = 'none' | 'balanced' | Readonly<Record<string, number>>;

export interface WeightOptions {
  names: readonly string[];
  /** Each row's class; −1 for rows that do not take part; [M]. */
  classes: Int32Array;
  /** Each row's own weight, above 0; [M]. */
  sampleWeights?: ArrayLike<number>;
  classWeights?: ClassWeights;
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
  const bad = weights.findIndex((weight) => !(Number.isFinite(weight) && weight > 0));
  if (bad >= 0) {
    throw new LastlayerError(
      `The weight of row ${bad} is ${weights[bad] ?? NaN}; it must be a number above 0. Leave out rows that are not to ` +
        `count.`,
    );
  }
  if (classWeights !== 'none') {
    const ofClass =
      classWeights === 'balanced' ? balanced(names, classes, weights) : givenWeights(names, classWeights);
    for (let i = 0; i < weights.length; i++) {
      weights[i] = (weights[i] ?? 1) * (ofClass[classes[i] ?? -1] ?? 1);
    }
  }
  return weights.every((weight) => weight === 1) ? undefined : weights;
}

function balanced(names: readonly string[], classes: Int32Array, weights: Float64Array): number[] {
  const sums = names.map(() => 0);
  classes.forEach((c, i) => {
    if (c >= 0) sums[c] = (sums[c] ?? 0) + (weights[i] ?? 0);
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
    if (!(Number.isFinite(weight) && weight > 0)) {
      throw new UsageError(
        `The weight of the class ${JSON.stringify(label)} is ${weight}; it must be a number above 0.`,
      );
    }
  }
  return names.map((name) => given[name] ?? 1);
}
