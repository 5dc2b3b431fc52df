import { Matrix } from 'ml-matrix';
import { LastlayerError, UsageError } from '../errors.js';
import { Head } from './head.js';
import { minimizeLbfgs, type Iteration, type LbfgsResult } from './lbfgs.js';
import { BLOCK_ROWS, SoftmaxObjective, type RowBlock } from './objective.js';
import { fitScaling, foldScaling, standardize, type Scaling } from './standardize.js';
import { checkEmbeddings, encodeLabels } from './training-data.js';

/**
 * λ where none is given. Accuracy and log loss on the validation split, for features of a ResNet-18 trained on natural
 * pictures and, after the bar, of an untrained one:
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
const DEFAULT_MAX_ITERATIONS = 1000;

/** The error to expect of a loss summed from float32 terms, in nats. */
const LOSS_NOISE = 1e-7;

export interface TrainHeadOptions {
  /** X [M × width], row-major. */
  embeddings: Float32Array;
  /** The number of features of an embedding. */
  width: number;
  /** Each row's label; [M]. */
  labels: readonly string[];
  /** The trunk that made the embeddings. */
  modelId: string;
  /** The picture transform that they were made with. */
  transformId: string;
  /** λ ≥ 0, the weight of the penalty λ/2 ‖W‖²; default {@link DEFAULT_L2}. */
  l2?: number;
  /**
   * Train on features of mean 0 and deviation 1 (default true). The penalty is then on the weights of the standardised
   * features, and so does not depend on the features' units. The head applies to raw embeddings either way.
   */
  standardize?: boolean;
  /** Converged where the gradient's largest entry is at most this; default 1e-6. */
  tolerance?: number;
  /** Default 1000. */
  maxIterations?: number;
  signal?: AbortSignal;
  onIteration?: (progress: Iteration) => void;
}

/**
 * Trains a softmax regression head: the W and b that minimise the mean cross-entropy + λ/2 ‖W‖², found by L-BFGS from
 * zero. The same input gives the same weights to the last bit on one machine. Classes are in code unit order, as
 * torchvision's ImageFolder has them.
 * @returns the head, with the report in `head.training`: it says whether the optimum was reached
 * @throws {LastlayerError} where there are no rows, no labels, one class only or a class with a single example; where an
 *   embedding is not finite; where lengths disagree
 * @throws {UsageError} where an option is out of its range
 * @throws the signal's reason, once it is aborted
 */
export async function trainHead(options: TrainHeadOptions): Promise<Head> {
  const {
    embeddings,
    width,
    l2 = DEFAULT_L2,
    tolerance = DEFAULT_TOLERANCE,
    standardize: standardized = true,
  } = options;
  checkOptions(options);
  checkEmbeddings(embeddings, width, options.labels);
  const { names, classes, counts } = encodeLabels(options.labels);

  const scaling = standardized ? fitScaling(embeddings, width) : undefined;
  const blocks = rowBlocks(embeddings, classes, width, scaling);
  const objective = await SoftmaxObjective.create(blocks, { classes: names.length, width, l2 });
  const { x, loss, gradientNorm, iterations, converged, reason } = await minimize(objective, options);
  return new Head({
    ...toHeadWeights(x, names.length, width, scaling),
    labels: names,
    modelId: options.modelId,
    transformId: options.transformId,
    l2,
    counts: { train: counts, validation: names.map(() => 0) },
    training: { iterations, converged, reason, loss, gradientNorm, tolerance, standardize: standardized },
    metrics: null,
    created: new Date().toISOString(),
  });
}

async function minimize(
  objective: SoftmaxObjective,
  {
    tolerance = DEFAULT_TOLERANCE,
    maxIterations = DEFAULT_MAX_ITERATIONS,
    signal,
    onIteration,
  }: TrainHeadOptions,
): Promise<LbfgsResult> {
  try {
    return await minimizeLbfgs((x) => objective.evaluate(x), new Float64Array(objective.size), {
      tolerance,
      maxIterations,
      noise: LOSS_NOISE,
      ...(signal && { signal }),
      ...(onIteration && { onIteration }),
    });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new LastlayerError(
      'The embeddings are too large to train on: their products leave the range of float32. Train with ' +
        'standardised features.',
    );
  } finally {
    await objective.release();
  }
}

/** The rows in blocks; where they are not standardised, views of the embeddings themselves. */
function rowBlocks(
  embeddings: Float32Array,
  classes: Int32Array,
  width: number,
  scaling: Scaling | undefined,
): RowBlock[] {
  const blocks: RowBlock[] = [];
  for (let row = 0; row < classes.length; row += BLOCK_ROWS) {
    const raw = embeddings.subarray(row * width, (row + BLOCK_ROWS) * width);
    const features = scaling ? standardize(raw, scaling) : raw;
    blocks.push({ features, classes: classes.subarray(row, row + BLOCK_ROWS) });
  }
  return blocks;
}

/** W and b for raw embeddings, in float32, from the vector of parameters. */
function toHeadWeights(
  parameters: Float64Array,
  classes: number,
  width: number,
  scaling: Scaling = { mean: new Float64Array(width), scale: new Float64Array(width).fill(1) },
): { weights: Matrix; bias: Float32Array } {
  const weights = Matrix.from1DArray(classes, width, parameters.subarray(0, classes * width));
  return foldScaling(weights, parameters.subarray(classes * width), scaling);
}

function checkOptions({
  l2 = DEFAULT_L2,
  tolerance = DEFAULT_TOLERANCE,
  maxIterations = DEFAULT_MAX_ITERATIONS,
}: TrainHeadOptions): void {
  if (!Number.isFinite(l2) || l2 < 0) {
    throw new UsageError(`l2 is ${l2}; it must be a number of 0 or more, such as ${DEFAULT_L2}.`);
  }
  if (!Number.isFinite(tolerance) || tolerance < 0) {
    throw new UsageError(
      `tolerance is ${tolerance}; it must be a number of 0 or more, such as ${DEFAULT_TOLERANCE}.`,
    );
  }
  if (!Number.isInteger(maxIterations) || maxIterations < 1) {
    throw new UsageError(`maxIterations is ${maxIterations}; it must be a whole number of 1 or more.`);
  }
}
