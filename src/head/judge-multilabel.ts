import { generateBlocks, type Examples, type Part } from './examples.js';
import type { Head } from './head.js';
import { parametersOf } from './judge.js';
import type { MultilabelEvaluation } from './multilabel-metrics.js';
import { sigmoid } from './sigmoid.js';
import type { SoftmaxGraph } from './softmax-graph.js';
import { noScaling } from './standardize.js';

/** Adds what a multilabel head says of a part of the examples, whose labels are the head's, to an evaluation. */
export async function judgeMultilabelHead(
  graph: SoftmaxGraph,
  examples: Examples,
  part: Part,
  head: Head,
  evaluation: MultilabelEvaluation,
): Promise<void> {
  const { sets = [] } = examples;
  const parameters = parametersOf(head);
  for await (const { features, classes } of generateBlocks(examples, part, noScaling(head.width))) {
    const logits = await graph.logits(features, parameters);
    classes.forEach((set, i) => {
      const probabilities = probabilitiesOf(logits, i, head.labels.length, head.temperature);
      evaluation.add(sets[set] ?? [], probabilities, head.thresholds ?? []);
    });
  }
}

/**
 * σ(z / T) of one row.
 * @param logits [rows × count], row-major
 * @returns [count]
 */
export function probabilitiesOf(
  logits: Float32Array,
  row: number,
  count: number,
  temperature = 1,
): Float64Array {
  return Float64Array.from(logits.subarray(row * count, (row + 1) * count), (z) => sigmoid(z / temperature));
}
