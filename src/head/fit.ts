import { LastlayerError } from '../util/errors.js';
import { dot } from '../util/math.js';
import { checkInteger, checkNumber } from '../util/validate.js';
import { countLabels, trainingBlocks, type Blocks, type Examples } from './examples.js';
import { Head } from './head.js';
import { minimizeTogether, type Iteration, type LbfgsResult } from './lbfgs.js';
import { HeadObjective, toParameters, type Evaluated, type HeadGraph, type ObjectiveOptions } from './objective.js';
import { preconditionerFor, type Coordinates, type Preconditioner } from './preconditioner.js';
import type { LogitRow, RowMask } from './task.js';
import { learnWhitening, noTransform, type HeadTransform } from './whiten.js';

/**
 * λ if none is given and none is chosen. Accuracy and log loss on the validation split, for features of a ResNet-18
 * trained on natural pictures and, after the bar, of the bundled one (in the last column on other 10 pictures a class):
 *
 *     λ      ants and bees, 245 pictures    10 Imagenette classes, 800     the same, 10 pictures a class
 *     0.001  0.902 0.389 | 0.889 0.547      0.945 0.175 | 0.855 0.465      0.932 0.225 | 0.777 0.782
 *     0.01   0.902 0.310 | 0.889 0.415      0.945 0.168 | 0.860 0.400      0.932 0.230 | 0.772 0.704
 *     0.1    0.908 0.265 | 0.889 0.332      0.943 0.218 | 0.877 0.429      0.930 0.286 | 0.777 0.694
 *     0.3    0.922 0.268 | 0.882 0.325      0.943 0.299 | 0.873 0.522      0.930 0.358 | 0.785 0.739
 *     1      0.908 0.301 | 0.869 0.350      0.948 0.492 | 0.868 0.737      0.932 0.515 | 0.785 0.866
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
   * Train on half-whitened features, see {@link learnWhitening}. The penalty is then on their weights, so it does not depend on the
   * features' units. The head applies to raw embeddings either way.
   * @default true
   */
  whiten?: boolean | undefined;
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
 * @param options.start where to start, on mapped features: W [N × D] then b [N]. @default zero
 * @param options.transform what the features are mapped by. @default learnt from the rows if `whiten` is on
 * @param options.blocks the rows, mapped. @default they are mapped here
 * @param options.preconditioner of mapped features like these. @default one is made if the data are large
 * @throws as {@link fit} does
 */
export async function fitHead(
  graph: HeadGraph,
  examples: Examples,
  options: FitHeadOptions & {
    mask?: RowMask | undefined;
    start?: Float64Array | undefined;
    transform?: HeadTransform | undefined;
    blocks?: Blocks | undefined;
    preconditioner?: Preconditioner | undefined;
  },
): Promise<Head> {
  const { task, source, names, labelSets } = examples;
  const { l2 = DEFAULT_L2, tolerance = DEFAULT_TOLERANCE, whiten = true } = options;
  const gap = options.tolerance === undefined ? DEFAULT_GAP : 0;
  const { mask = () => true, labelSmoothing = 0, modelId, transformId } = options;
  const [count, width] = [names.length, source.width];
  const transform = options.transform ?? (whiten ? await learnWhitening(graph, examples, mask) : noTransform);
  const found = await fit(graph, options.blocks ?? (await trainingBlocks(examples, mask, transform)), {
    ...options,
    preconditioner: options.preconditioner ?? preconditionerFor(graph, examples, mask, transform),
    count,
    labelSets,
    width,
    l2,
    tolerance,
    gap,
  });
  const { iterations, converged, reason, loss, gradientNorm } = found;
  return new Head({
    ...(await transform.fold(found.x.subarray(0, count * width), found.x.subarray(count * width))),
    kind: task.kind,
    labels: names,
    modelId,
    transformId,
    l2,
    counts: { train: countLabels(examples, mask), validation: names.map(() => 0) },
    training: { iterations, converged, reason, loss, gradientNorm, tolerance, whiten, labelSmoothing },
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
  /** Called after each evaluation. */
  onEvaluation?: ((heads: Evaluated['heads']) => void) | undefined;
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
  const { preconditioner, onEvaluation, isEnough, signal, onIteration } = options;
  const coordinates = await (preconditioner?.at(starts, objective.count, l2) ??
    plainCoordinates(starts, objective.count));
  let isNear = false;
  const evaluate = async (points: readonly Float64Array[], into: readonly (Float64Array | undefined)[]) => {
    const { heads, gradient } = await objective.at(await coordinates.toParameters(points), l2);
    onEvaluation?.(heads);
    const gradients = await coordinates.toGradients(gradient, into);
    // In these coordinates the objective is about ½ ‖u − u*‖² above its optimum, and ∇f about u − u*.
    isNear = preconditioner !== undefined && gradients.every((g, h) => dot(g, g) / 2 <= gap * heads[h]!.loss);
    return heads.map(({ loss, gradientNorm }, h) => ({ loss, gradientNorm, gradient: gradients[h]! }));
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
      'The embeddings are too large to train on: their products exceed the range of float32. Leave `whiten` on.',
    );
  });
  const { W, b } = await coordinates.toParameters(found.map(({ x }) => x));
  return found.map((result, h) => {
    const x = new Float64Array(starts[h]!.length);
    x.set(W.subarray((h * W.length) / starts.length, ((h + 1) * W.length) / starts.length));
    x.set(b.subarray(h * objective.count, (h + 1) * objective.count), x.length - objective.count);
    return { ...result, x };
  });
}

/** The parameters themselves, as differences from the starts. */
function plainCoordinates(starts: readonly Float64Array[], count: number): Coordinates {
  const size = starts[0]!.length - count;
  const [W, b] = [new Float32Array(starts.length * size), new Float32Array(starts.length * count)];
  return {
    toParameters: (points) => {
      points.forEach((u, h) => {
        const start = starts[h]!;
        for (let k = 0, at = h * size; k < size; k++, at++) W[at] = start[k]! + u[k]!;
        for (let n = 0, at = h * count; n < count; n++, at++) b[at] = start[size + n]! + u[size + n]!;
      });
      return Promise.resolve({ W, b });
    },
    toGradients: (slopes, into) =>
      Promise.resolve(
        starts.map(({ length }, h) => {
          const gradient = into[h] ?? new Float64Array(length);
          gradient.set(slopes.W.subarray(h * size, (h + 1) * size));
          gradient.set(slopes.b.subarray(h * count, (h + 1) * count), size);
          return gradient;
        }),
      ),
  };
}

export interface FitOptions extends Omit<MinimizeOptions, 'starts' | 'onEvaluation' | 'isEnough'>, ObjectiveOptions {
  /** Where to start: W [N × width] then b [N]. @default zero */
  start?: Float64Array | undefined;
}

/**
 * Minimises the objective of one head on blocks of rows. The same input gives the same bits on one machine.
 * @throws {LastlayerError} if the features are too large for float32, or there is no finite optimum: no penalty, no
 *   smoothing, and classes (or one label's two sides) that a plane separates
 * @throws the signal's reason, once it is aborted
 */
export async function fit(graph: HeadGraph, blocks: Blocks, options: FitOptions): Promise<LbfgsResult> {
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
  blocks: Blocks,
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
