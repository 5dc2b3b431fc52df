import { type Examples, featuresInMemory } from './examples.js';
import { checkFitOptions, fitHead, type FitHeadOptions } from './fit.js';
import type { Head } from './head.js';
import { checkEmbeddings, type ClassWeights, encodeLabels, encodeLabelSets, rowWeights } from './labels.js';
import { SoftmaxGraph } from './objective.js';

export interface TrainHeadOptions extends FitHeadOptions {
  /** X [M × width], row-major. */
  embeddings: Float32Array;
  /** The number of features of an embedding. */
  width: number;
  /** Each row's label; [M]. */
  labels: readonly string[];
  /** How much each row counts, above 0; [M]; 1 each by default. */
  sampleWeights?: ArrayLike<number> | undefined;
  /** How much each class counts; default `none`. */
  classWeights?: ClassWeights | undefined;
}

/**
 * Trains a softmax regression head: the W and b that minimise the weighted mean of the cross-entropies + λ/2 ‖W‖², found
 * by L-BFGS from zero. The same input gives the same weights to the last bit on one machine. Classes are in code unit
 * order, as torchvision's ImageFolder has them. Standardisation takes no notice of weights.
 * @returns the head, with the report in `head.training`: it says whether the optimum was reached
 * @throws {LastlayerError} where there are no rows, no labels, one class only or a class with a single example; where an
 *   embedding is not finite or a weight not above 0; where lengths disagree; where there is no finite optimum
 * @throws {UsageError} where an option is out of its range
 * @throws the signal's reason, once it is aborted
 */
export async function trainHead(options: TrainHeadOptions): Promise<Head> {
  const { embeddings, width, labels } = options;
  checkFitOptions(options);
  checkEmbeddings(embeddings, width, labels, options.sampleWeights);
  const { names, classes } = encodeLabels(labels);
  const weights = rowWeights({ ...options, names, classes });
  return fitInMemory({ names, classes, weights }, options);
}

export interface TrainMultilabelHeadOptions extends Omit<TrainHeadOptions, 'labels' | 'classWeights'> {
  /** Each row's labels, none or more; [M]. */
  labels: readonly (readonly string[])[];
}

/**
 * Trains a logistic regression for each label: the W and b that minimise the weighted mean of the sums over labels of the
 * binary cross-entropies + λ/2 ‖W‖². All else is as in {@link trainHead}; thresholds are ½.
 * @throws {LastlayerError} as {@link trainHead} does, and where fewer than two rows have, or lack, a label
 * @throws {UsageError} where an option is out of its range
 * @throws the signal's reason, once it is aborted
 */
export async function trainMultilabelHead(options: TrainMultilabelHeadOptions): Promise<Head> {
  const { embeddings, width, labels } = options;
  checkFitOptions(options);
  checkEmbeddings(embeddings, width, labels, options.sampleWeights);
  const encoded = encodeLabelSets(labels);
  const weights = rowWeights({
    ...encoded,
    sampleWeights: options.sampleWeights,
  });
  return fitInMemory({ ...encoded, weights }, options);
}

async function fitInMemory(
  examples: Omit<Examples, 'source'>,
  { embeddings, width, ...options }: FitHeadOptions & { embeddings: Float32Array; width: number },
): Promise<Head> {
  const graph = await SoftmaxGraph.create(examples.sets ? 'multilabel' : 'softmax');
  try {
    return await fitHead(graph, { ...examples, source: featuresInMemory(embeddings, width) }, options);
  } finally {
    await graph.release();
  }
}
