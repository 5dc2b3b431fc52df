import { evaluationBlocks, type Examples } from './examples.js';
import type { Head } from './head.js';
import type { HeadGraph } from './objective.js';
import type { Evaluator, RowMask } from './task.js';
import { argmax } from '../util/math.js';

/** What a head is trained on, and what it is evaluated on. The two have no row in common. */
export interface Fold {
  train: RowMask;
  validation: RowMask;
}

export function trainingRows({ train }: Fold): RowMask {
  return train;
}

/** The folds of cross-validation: each is evaluated once, by a head that was trained on all others. */
export function foldsOf(mask: RowMask, foldOf: Int32Array, folds: number): Fold[] {
  return Array.from({ length: folds }, (_, fold) => ({
    train: (row) => mask(row) && foldOf[row] !== fold,
    validation: (row) => mask(row) && foldOf[row] === fold,
  }));
}

/** Adds the predictions of a head for the masked rows, whose labels are the head's, to an evaluation. */
export async function evaluateHead(
  graph: HeadGraph,
  examples: Examples,
  mask: RowMask,
  head: Head,
  evaluator: Evaluator<unknown>,
): Promise<void> {
  const { task, labelSets } = examples;
  const parameters = { W: Float32Array.from(head.weights.to1DArray()), b: head.bias };
  const probabilities = new Float64Array(head.labels.length);
  for await (const { features, targets } of evaluationBlocks(examples, mask)) {
    const logits = await graph.logits(features, parameters);
    targets.forEach((target, i) => {
      task.probabilities(probabilities, logits, i * head.labels.length, head.temperature);
      evaluator.add(labelSets[target]!, probabilities);
    });
  }
}

/**
 * The labels that a head predicts, as ascending indices, and how certain it is: the probability of the predicted class or, for
 * a multilabel head, that of its least certain decision; 0 … 1.
 * @param probabilities [N]
 */
export function decide({ thresholds }: Head, probabilities: Float64Array): { predicted: number[]; certainty: number } {
  if (!thresholds) {
    const best = argmax(probabilities, 0, probabilities.length);
    return { predicted: [best], certainty: probabilities[best]! };
  }
  const isPredicted = thresholds.map((threshold, n) => probabilities[n]! >= threshold);
  return {
    predicted: isPredicted.flatMap((is, n) => (is ? [n] : [])),
    certainty: Math.min(...probabilities.map((p, n) => (isPredicted[n] ? p : 1 - p))),
  };
}
