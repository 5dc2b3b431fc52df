import { Matrix } from 'ml-matrix';
import { LastlayerError } from '../util/errors.js';
import { addScaled, dot, infinityNorm } from '../util/math.js';
import { checkInteger, checkNumber } from '../util/validate.js';
import { countLabels, momentsOf, trainingBlocks, type ExampleBlock, type Examples } from './examples.js';
import { Head } from './head.js';
import { minimizeTogether, type Iteration, type LbfgsResult } from './lbfgs.js';
import { HeadObjective, toParameters, type HeadGraph, type ObjectiveOptions } from './objective.js';
import { preconditionerFor, type Preconditioner } from './preconditioner.js';
import { foldScaling, noScaling } from './standardize.js';
import type { LogitRow, RowMask } from './task.js';

/**
 * λ if none is given and none is chosen. Accuracy and log loss on the validation split, for features of a ResNet-18
 * trained on natural pictures and, after the bar, of an untrained one:
 *
 *     λ      ants and bees, 245 pictures    10 Imagenette classes, 800     the same, 10 pictures a class
 *     0.001  0.902 0.563 | 0.588 1.986      0.940 0.199 | 0.348 3.132      0.918 0.266 | 0.275 3.397
 *     0.01   0.895 0.412 | 0.595 1.223      0.940 0.172 | 0.395 2.088      0.918 0.251 | 0.283 2.790
 *     0.1    0.889 0.326 | 0.647 0.751      0.948 0.192 | 0.395 1.771      0.918 0.281 | 0.278 2.324
 *     0.3    0.895 0.316 | 0.673 0.662      0.948 0.244 | 0.388 1.824      0.923 0.332 | 0.275 2.186
 *     1      0.876 0.327 | 0.660 0.634      0.945 0.372 | 0.368 1.940      0.920 0.450 | 0.270 2.144
 *
 * 0.1 is best or near the best in most columns, and λ should fall rather than rise with the number of pictures.
 */
export const DEFAULT_L2 = 0.1;

/**
 * Ten times finer than the optimiser's own default, for a few iterations more: with a small λ the objective is so flat
 * that 1e-5 is reached well before the optimum.
 */
const DEFAULT_TOLERANCE = 1e-6;

/**
 * An estimate of how far the objective is above its optimum, relative to it. The distance is up to four times as large, and less
 * than what float32 adds to the objective.
 */
const DEFAULT_GAP = 1e-7;

const DEFAULT_MAX_ITERATIONS = 1000;

/** How to fit a head, whatever the data. */
export interface FitHeadOptions {
  /** The backbone that made the embeddings. */
  modelId: string;
  /** The image transform that they were made with. */
  transformId: string;
  /** λ ≥ 0, the weight of the penalty λ/2 ‖W‖². @default 0.1 */
  l2?: number | undefined;
  /** ε, 0 ≤ ε < 1: the fraction of each target that is spread over all classes. @default 0 */
  labelSmoothing?: number | undefined;
  /**
   * Train on features of mean 0 and standard deviation 1. The penalty is then on the weights of the standardised features,
   * so it does not depend on the features' units. The head applies to raw embeddings either way.
   * @default true
   */
  standardize?: boolean | undefined;
  /**
   * Converged once the gradient's largest entry is at most this.
   * @default 1e-6, or once the objective is within about 4e-7 of its optimum, relative to it, if there are many rows and classes
   */
  tolerance?: number | undefined;
  /** @default 1000 */
  maxIterations?: number | undefined;
  signal?: AbortSignal | undefined;
  onIteration?: ((progress: Iteration) => void) | undefined;
}

/**
 * Fits a head to the masked rows.
 * @param options.mask @default all rows
 * @param options.start where to start, on standardised features: W [N × D] then b [N]. @default zero
 * @param options.preconditioner of standardised features like these. @default one is made if the data are large
 * @throws as {@link fit} does
 */
export async function fitHead(
  graph: HeadGraph,
  examples: Examples,
  options: FitHeadOptions & {
    mask?: RowMask | undefined;
    start?: Float64Array | undefined;
    preconditioner?: Preconditioner | undefined;
  },
): Promise<Head> {
  const { task, source, names, labelSets, targets } = examples;
  const { l2 = DEFAULT_L2, tolerance = DEFAULT_TOLERANCE, standardize = true } = options;
  const gap = options.tolerance === undefined ? DEFAULT_GAP : 0;
  const { mask = () => true, labelSmoothing = 0, modelId, transformId } = options;
  const [count, width] = [names.length, source.width];
  const [moments] = standardize ? await momentsOf(source, 1, (row) => (targets[row]! >= 0 && mask(row) ? 0 : -1)) : [];
  const scaling = moments?.scaling() ?? noScaling(width);
  const found = await fit(graph, await trainingBlocks(examples, mask, scaling), {
    ...options,
    preconditioner: options.preconditioner ?? (await preconditionerFor(graph, examples, mask, scaling)),
    count,
    labelSets,
    width,
    l2,
    tolerance,
    gap,
  });
  const { iterations, converged, reason, loss, gradientNorm } = found;
  const W = Matrix.from1DArray(count, width, found.x.subarray(0, count * width));
  return new Head({
    ...foldScaling(W, found.x.subarray(count * width), scaling),
    kind: task.kind,
    labels: names,
    modelId,
    transformId,
    l2,
    counts: { train: countLabels(examples, mask), validation: names.map(() => 0) },
    training: { iterations, converged, reason, loss, gradientNorm, tolerance, standardize, labelSmoothing },
    metrics: null,
    created: new Date().toISOString(),
  });
}

/** @throws {UsageError} if an option is out of its range */
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

/** The rounding error to expect of a loss, in nats: a difference of large sums of float32 terms. */
const LOSS_NOISE = 1e-6;

/** How to minimise objectives of heads. */
export interface MinimizeOptions {
  l2: number;
  /** Where to start: each head's W [N × width] then b [N]. A neighbour's optimum saves iterations. */
  starts: readonly Float64Array[];
  /** Converged once ‖∇f‖∞ is at most this. */
  tolerance: number;
  /** With a preconditioner, converged once the objective is about this near its optimum, relative to it. @default 0 */
  gap?: number | undefined;
  /** @default 1000 */
  maxIterations?: number | undefined;
  /** Made from these rows or ones like them: fewer evaluations to the same optimum. */
  preconditioner?: Preconditioner | undefined;
  /** Called after each evaluation with the mean log loss of each head on the rows that it leaves out. */
  onHeldOut?: ((heldOut: readonly number[]) => void) | undefined;
  /** Asked before each iteration whether the points are good enough. */
  isEnough?: (() => boolean) | undefined;
  signal?: AbortSignal | undefined;
  onIteration?: ((progress: Iteration) => void) | undefined;
}

/**
 * Minimises the objectives of several heads on the same rows, together.
 * @returns for each head, its optimum
 * @throws {LastlayerError} if the features are too large for float32
 * @throws the signal's reason, once it is aborted
 */
export async function minimizeHeads(
  objective: HeadObjective,
  { l2, starts, tolerance, gap = 0, maxIterations = DEFAULT_MAX_ITERATIONS, ...options }: MinimizeOptions,
): Promise<LbfgsResult[]> {
  const { preconditioner, onHeldOut, isEnough, signal, onIteration } = options;
  const coordinates = await preconditioner?.at(starts[0]!, objective.count, l2);
  let isNear = false;
  const toParameters = async (points: readonly Float64Array[]): Promise<readonly Float64Array[]> => {
    const moved = (await coordinates?.toParameters(points)) ?? points;
    return moved.map((x, h) => {
      const sum = starts[h]!.slice();
      addScaled(sum, 1, x);
      return sum;
    });
  };
  const evaluate = async (points: readonly Float64Array[]) => {
    const values = await objective.at(await toParameters(points), l2);
    onHeldOut?.(values.map(({ heldOut }) => heldOut));
    const gradients = values.map(({ gradient }) => gradient);
    const moved = (await coordinates?.toGradients(gradients)) ?? gradients;
    // In these coordinates the objective is about ½ ‖u − u*‖² above its optimum, and ∇f about u − u*.
    isNear = coordinates !== undefined && moved.every((g, h) => dot(g, g) / 2 <= gap * values[h]!.loss);
    return values.map(({ loss, gradient }, h) => ({
      loss,
      gradient: moved[h]!,
      gradientNorm: infinityNorm(gradient),
    }));
  };
  const found = await minimizeTogether(
    evaluate,
    starts.map((x) => new Float64Array(x.length)),
    {
      tolerance,
      maxIterations,
      noise: LOSS_NOISE,
      isEnough: () => isNear || isEnough?.() === true,
      signal,
      onIteration,
    },
  ).catch((error: unknown) => {
    if (!(error instanceof RangeError)) throw error;
    throw new LastlayerError(
      'The embeddings are too large to train on: their products exceed the range of float32. Train with standardised ' +
        'features.',
    );
  });
  const optima = await toParameters(found.map(({ x }) => x));
  return found.map((result, h) => ({ ...result, x: optima[h]! }));
}

export interface FitOptions extends Omit<MinimizeOptions, 'starts' | 'onHeldOut' | 'isEnough'>, ObjectiveOptions {
  /** Where to start: W [N × width] then b [N]. @default zero */
  start?: Float64Array | undefined;
}

/**
 * Minimises the objective of one head on blocks of standardised rows. The same input gives the same bits on one machine.
 * @throws {LastlayerError} if the features are too large for float32, or there is no finite optimum: no penalty, no
 *   smoothing, and classes (or one label's two sides) that a plane separates
 * @throws the signal's reason, once it is aborted
 */
export async function fit(
  graph: HeadGraph,
  blocks: Iterable<ExampleBlock> | AsyncIterable<ExampleBlock>,
  options: FitOptions,
): Promise<LbfgsResult> {
  const { count, labelSets, width, l2, labelSmoothing = 0, start } = options;
  const objective = await HeadObjective.create(graph, blocks, options);
  const starts = [start ?? new Float64Array(count * (width + 1))];
  const [found] = await minimizeHeads(objective, { ...options, starts });
  const mayBeInfinite = l2 === 0 && labelSmoothing === 0;
  const { task } = graph;
  if (mayBeInfinite && (await task.separates(logitRows(graph, blocks, found!.x, labelSets, count), count))) {
    throw new LastlayerError(
      `There is no finite optimum: the training examples separate ${task.hasClasses ? 'the classes' : 'a label'} without a ` +
        'mistake, so with l2 = 0 larger weights are always better. Leave --l2 out to have it chosen, or give a value above ' +
        '0, such as 0.001.',
    );
  }
  return found!;
}

async function* logitRows(
  graph: HeadGraph,
  blocks: Iterable<ExampleBlock> | AsyncIterable<ExampleBlock>,
  x: Float64Array,
  labelSets: ObjectiveOptions['labelSets'],
  count: number,
): AsyncGenerator<LogitRow> {
  const parameters = toParameters(x, count);
  for await (const { features, targets } of blocks) {
    const logits = await graph.logits(features, parameters);
    for (const [i, target] of targets.entries()) yield { logits, at: i * count, labels: labelSets[target]! };
  }
}
