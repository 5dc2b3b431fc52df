import { Matrix } from 'ml-matrix';
import { LastlayerError } from '../util/errors.js';
import { argmax } from '../util/math.js';
import { checkInteger, checkNumber } from '../util/validate.js';
import { type Examples, momentsOf, type Part, partBlocks } from './examples.js';
import { Head } from './head.js';
import type { LabelSets } from './labels.js';
import { type Iteration, type LbfgsResult, minimizeLbfgs } from './lbfgs.js';
import {
  type ObjectiveOptions,
  type RowBlock,
  type SoftmaxGraph,
  softmaxObjective,
  toParameters,
} from './objective.js';
import { type Preconditioner, preconditionerFor } from './preconditioner.js';
import { foldScaling, noScaling } from './standardize.js';

/**
 * λ where none is given and none is chosen. Accuracy and log loss on the validation split, for features of a ResNet-18
 * trained on natural pictures and, after the bar, of an untrained one:
 *
 *     λ      ants and bees, 245 pictures    10 Imagenette classes, 800     the same, 10 pictures a class
 *     0.001  0.902 0.563 | 0.588 1.986      0.940 0.199 | 0.348 3.132      0.918 0.266 | 0.275 3.397
 *     0.01   0.895 0.412 | 0.595 1.223      0.940 0.172 | 0.395 2.088      0.918 0.251 | 0.283 2.790
 *     0.1    0.889 0.326 | 0.647 0.751      0.948 0.192 | 0.395 1.771      0.918 0.281 | 0.278 2.324
 *     0.3    0.895 0.316 | 0.673 0.662      0.948 0.244 | 0.388 1.824      0.923 0.332 | 0.275 2.186
 *     1      0.876 0.327 | 0.660 0.634      0.945 0.372 | 0.368 1.940      0.920 0.450 | 0.270 2.144
 *
 * 0.1 is best or near the best of most columns, and λ should fall rather than rise with the number of pictures.
 */
export const DEFAULT_L2 = 0.1;

/**
 * Ten times finer than the optimiser's own default, for a few iterations more: with a small λ the objective is so flat
 * that 1e-5 is reached well before the optimum.
 */
const DEFAULT_TOLERANCE = 1e-6;

/** How to fit a head, whatever the data. */
export interface FitHeadOptions {
  /** The backbone that made the embeddings. */
  modelId: string;
  /** The picture transform that they were made with. */
  transformId: string;
  /** λ ≥ 0, the weight of the penalty λ/2 ‖W‖²; default {@link DEFAULT_L2}. */
  l2?: number | undefined;
  /** ε, 0 ≤ ε < 1: this part of each example's target is spread over all classes; default 0. */
  labelSmoothing?: number | undefined;
  /**
   * Train on features of mean 0 and deviation 1 (default true). The penalty is then on the weights of the standardised
   * features, and so does not depend on the features' units. The head applies to raw embeddings either way.
   */
  standardize?: boolean | undefined;
  /** Converged where the gradient's largest entry is at most this; default 1e-6. */
  tolerance?: number | undefined;
  /** Default 1000. */
  maxIterations?: number | undefined;
  signal?: AbortSignal | undefined;
  onIteration?: ((progress: Iteration) => void) | undefined;
}

/**
 * Fits a head to a part of the examples.
 * @param options.start where to start from, on standardised features: W [N × D] then b [N]; zero by default
 * @param options.preconditioner of features like these, standardised; made where it is not given and the data are large
 * @throws as {@link fit} does
 */
export async function fitHead(
  graph: SoftmaxGraph,
  examples: Examples,
  options: FitHeadOptions & {
    part?: Part | undefined;
    start?: Float64Array | undefined;
    preconditioner?: Preconditioner | undefined;
  },
): Promise<Head> {
  const { source, names, sets } = examples;
  const { l2 = DEFAULT_L2, tolerance = DEFAULT_TOLERANCE, standardize: standardized = true } = options;
  const { part = () => true, labelSmoothing = 0, modelId, transformId } = options;
  const [classes, width] = [names.length, source.width];
  const scaling = standardized ? await scalingOf(examples, part) : noScaling(width);
  const preconditioner = options.preconditioner ?? (await preconditionerFor(graph, examples, part, scaling));
  const blocks = await partBlocks(examples, part, scaling);
  const found = await fit(graph, blocks, {
    ...{ ...options, classes, width, l2, tolerance },
    ...(preconditioner && { preconditioner }),
    sets,
  });
  const { iterations, converged, reason, loss, gradientNorm } = found;
  const W = Matrix.from1DArray(classes, width, found.x.subarray(0, classes * width));
  return new Head({
    ...foldScaling(W, found.x.subarray(classes * width), scaling),
    kind: sets ? 'multilabel' : 'softmax',
    labels: names,
    modelId,
    transformId,
    l2,
    counts: { train: countClasses(examples, part), validation: names.map(() => 0) },
    training: {
      iterations,
      converged,
      reason,
      loss,
      gradientNorm,
      tolerance,
      standardize: standardized,
      labelSmoothing,
    },
    metrics: null,
    created: new Date().toISOString(),
  });
}

async function scalingOf({ source, classes }: Examples, part: Part) {
  const [moments] = await momentsOf(source, 1, (row) => (classes[row]! >= 0 && part(row) ? 0 : -1));
  return moments ? moments.scaling() : noScaling(source.width);
}

/** How many rows of a part each class, or label, has; [N]. */
function countClasses({ names, classes, sets }: Examples, part: Part): number[] {
  const counts = names.map(() => 0);
  classes.forEach((c, row) => {
    if (c < 0 || !part(row)) return;
    for (const n of sets?.[c] ?? [c]) counts[n] = (counts[n] ?? 0) + 1;
  });
  return counts;
}

/** @throws {UsageError} where an option is out of its range */
export function checkFitOptions({
  l2 = DEFAULT_L2,
  labelSmoothing = 0,
  tolerance = DEFAULT_TOLERANCE,
  maxIterations = DEFAULT_MAX_ITERATIONS,
}: Partial<FitHeadOptions>): void {
  checkNumber('l2', l2, { min: 0, example: DEFAULT_L2 });
  checkNumber('labelSmoothing', labelSmoothing, { min: 0, below: 1, example: 0.1 });
  checkNumber('tolerance', tolerance, { min: 0, example: DEFAULT_TOLERANCE });
  checkInteger('maxIterations', maxIterations, { min: 1 });
}

/** The error to expect of a loss summed from float32 terms, in nats. */
const LOSS_NOISE = 1e-7;

const DEFAULT_MAX_ITERATIONS = 1000;

interface FitOptions extends ObjectiveOptions {
  /** Where to start, W [classes × width] then b [classes]; zero by default. A neighbour's optimum saves iterations. */
  start?: Float64Array | undefined;
  /** Converged where ‖∇f‖∞ is at most this. */
  tolerance: number;
  /** Default 1000. */
  maxIterations?: number | undefined;
  /** Take whatever is found where there is no finite optimum, as for part of the data; default false. */
  allowSeparable?: boolean | undefined;
  /** Made from these rows or ones like them: takes fewer evaluations to the same optimum. */
  preconditioner?: Preconditioner | undefined;
  signal?: AbortSignal | undefined;
  onIteration?: ((progress: Iteration) => void) | undefined;
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
    precondition,
    signal,
    onIteration,
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
      const set = sets[y[i]!] ?? [];
      for (let n = 0; n < classes; n++) {
        if (logits[i * classes + n]! > 0 !== set.includes(n)) isSeparated[n] = 0;
      }
    }
  }
  return isSeparated.includes(1);
}
