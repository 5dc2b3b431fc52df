import { sigmoid, softmaxInto } from '../util/math.js';
import type { LogitBlock } from './calibrate.js';
import { type Examples, generateBlocks, type Part } from './examples.js';
import type { Head } from './head.js';
import type { Evaluation, MultilabelEvaluation } from './metrics.js';
import type { Parameters, SoftmaxGraph } from './objective.js';
import { noScaling } from './standardize.js';

/** What a head learns from and what it is judged on; the two have no row in common. */
export interface Trial {
  train: Part;
  judge: Part;
}

/** The trials of cross-validation: each fold is judged once, by a head that learnt from all others. */
export function trialsOf(part: Part, foldOf: Int32Array, folds: number): Trial[] {
  return Array.from({ length: folds }, (_, fold) => ({
    train: (row) => part(row) && foldOf[row] !== fold,
    judge: (row) => part(row) && foldOf[row] === fold,
  }));
}

/** Adds the predictions of a head for a part of the examples, whose classes are the head's, to an evaluation. */
export async function judgeHead(
  graph: SoftmaxGraph,
  examples: Examples,
  part: Part,
  head: Head,
  evaluation: Evaluation,
): Promise<void> {
  const parameters = parametersOf(head);
  for await (const block of generateBlocks(examples, part, noScaling(head.width))) {
    const logits = await graph.logits(block.features, parameters);
    judgeLogits({ ...block, logits }, head.labels.length, head.temperature, evaluation);
  }
}

/** Adds softmax(z / T) of some rows to an evaluation. @param count N */
export function judgeLogits(
  { logits, classes }: LogitBlock,
  count: number,
  temperature: number,
  evaluation: Evaluation,
): void {
  const probabilities = new Float64Array(count);
  classes.forEach((c, i) => {
    softmaxInto(probabilities, logits, i * count, temperature);
    evaluation.add(c, probabilities);
  });
}

/** W and b as the graph takes them. */
function parametersOf({ weights, bias }: Head): Parameters {
  return { W: Float32Array.from(weights.to1DArray()), b: bias };
}

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
