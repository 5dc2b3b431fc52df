import { LastlayerError } from '../errors.js';
import type { LabelSets } from './label-sets.js';
import { minimizeLbfgs, type Iteration, type LbfgsResult } from './lbfgs.js';
import { softmaxObjective, toParameters, type ObjectiveOptions, type RowBlock } from './objective.js';
import type { Preconditioner } from './preconditioner.js';
import { argmax } from './softmax.js';
import type { SoftmaxGraph } from './softmax-graph.js';

/** The error to expect of a loss summed from float32 terms, in nats. */
const LOSS_NOISE = 1e-7;

export const DEFAULT_MAX_ITERATIONS = 1000;

export interface FitOptions extends ObjectiveOptions {
  /** Where to start, W [classes × width] then b [classes]; zero by default. A neighbour's optimum saves iterations. */
  start?: Float64Array;
  /** Converged where ‖∇f‖∞ is at most this. */
  tolerance: number;
  /** Default 1000. */
  maxIterations?: number;
  /** Take whatever is found where there is no finite optimum, as for part of the data; default false. */
  allowSeparable?: boolean;
  /** Made from these rows or ones like them: takes fewer evaluations to the same optimum. */
  preconditioner?: Preconditioner;
  signal?: AbortSignal;
  onIteration?: (progress: Iteration) => void;
}

/**
 * The optimum of softmax regression, or with `sets` of logistic regressions, on some blocks of standardised rows. The same input gives the same bits on one
 * machine.
 * @throws {LastlayerError} where the features are too large for float32, or there is no finite optimum: no penalty, no
 *   smoothing, and classes, or a label's two sides, that a plane separates
 * @throws the signal's reason, once it is aborted
 */
export async function fit(
  graph: SoftmaxGraph,
  blocks: Iterable<RowBlock> | AsyncIterable<RowBlock>,
  options: FitOptions,
): Promise<LbfgsResult> {
  const { classes, sets, width, l2, labelSmoothing = 0, allowSeparable = false } = options;
  const { start, tolerance, maxIterations = DEFAULT_MAX_ITERATIONS, signal, onIteration } = options;
  const objective = softmaxObjective(graph, blocks, options);
  const from = start ?? new Float64Array(classes * (width + 1));
  const precondition = await options.preconditioner?.at(from, classes, l2);
  const found = await minimize(objective, from, {
    tolerance,
    maxIterations,
    noise: LOSS_NOISE,
    ...(precondition && { precondition }),
    ...(signal && { signal }),
    ...(onIteration && { onIteration }),
  });
  const mayBeInfinite = l2 === 0 && labelSmoothing === 0 && !allowSeparable;
  const isSeparated = () =>
    sets
      ? separatesLabel(graph, blocks, found.x, { classes, sets })
      : separates(graph, blocks, found.x, classes);
  if (mayBeInfinite && (await isSeparated())) {
    throw new LastlayerError(
      `There is no finite optimum: ${sets ? 'a label' : 'the classes'} can be told apart without a mistake on the training ` +
        'examples, so with l2 = 0 ever larger weights are ever better. Leave --l2 out to have it chosen, or give a value above 0, such ' +
        'as 0.001.',
    );
  }
  return found;
}

async function minimize(...args: Parameters<typeof minimizeLbfgs>): Promise<LbfgsResult> {
  try {
    return await minimizeLbfgs(...args);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new LastlayerError(
      'The embeddings are too large to train on: their products leave the range of float32. Train with ' +
        'standardised features.',
    );
  }
}

/** Whether W x + b is largest at the class of every row: then c W and c b lower the loss for every c > 1. */
async function separates(
  graph: SoftmaxGraph,
  blocks: Iterable<RowBlock> | AsyncIterable<RowBlock>,
  x: Float64Array,
  classes: number,
): Promise<boolean> {
  for await (const { features, classes: y } of blocks) {
    const logits = await graph.logits(features, toParameters(x, classes));
    for (let i = 0; i < y.length; i++) {
      if (argmax(logits, i * classes, classes) !== y[i]) return false;
    }
  }
  return true;
}

/** Whether, for some label, W x + b is above 0 on just the rows that have it. */
async function separatesLabel(
  graph: SoftmaxGraph,
  blocks: Iterable<RowBlock> | AsyncIterable<RowBlock>,
  x: Float64Array,
  { classes, sets }: { classes: number; sets: LabelSets },
): Promise<boolean> {
  const isSeparated = new Uint8Array(classes).fill(1);
  for await (const { features, classes: y } of blocks) {
    const logits = await graph.logits(features, toParameters(x, classes));
    for (let i = 0; i < y.length; i++) {
      const set = sets[y[i] ?? 0] ?? [];
      for (let n = 0; n < classes; n++) {
        if ((logits[i * classes + n] ?? 0) > 0 !== set.includes(n)) isSeparated[n] = 0;
      }
    }
  }
  return isSeparated.includes(1);
}
