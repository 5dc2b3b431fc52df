import { Matrix } from 'ml-matrix';
import { LastlayerError } from '../util/errors.js';
import { sigmoid, softmax } from '../util/math.js';
import { checkInteger, checkNumber } from '../util/validate.js';
import type { StopReason } from './lbfgs.js';
import { DEFAULT_THRESHOLD } from './metrics.js';

/** A class that a head gives to an embedding. */
export interface Prediction {
  label: string;
  /** 0 … 1 */
  probability: number;
}

/**
 * A trained last layer: logits = W x + b, probabilities = softmax(logits / T) or, where it is `multilabel`, sigmoid(logits /
 * T), each label by itself. It never changes; what is found out later makes another one: `head.with({ metrics })`.
 */
export class Head implements HeadFields {
  readonly kind: HeadKind;
  readonly weights: Matrix;
  readonly bias: Float32Array;
  readonly labels: readonly string[];
  readonly modelId: string;
  readonly transformId: string;
  readonly l2: number;
  readonly counts: { train: readonly number[]; validation: readonly number[] };
  readonly training: TrainingReport;
  readonly thresholds: readonly number[] | null;
  readonly temperature: number;
  readonly unknown: UnknownDetector | null;
  readonly metrics: JsonValue;
  readonly created: string;

  /** @throws {LastlayerError} where the shapes of weights, bias, labels and counts disagree, or a number is out of its range */
  constructor(fields: HeadFields) {
    this.kind = fields.kind ?? 'softmax';
    this.weights = fields.weights;
    this.bias = fields.bias;
    this.labels = fields.labels;
    this.modelId = fields.modelId;
    this.transformId = fields.transformId;
    this.l2 = fields.l2;
    this.counts = fields.counts;
    this.training = fields.training;
    this.thresholds =
      fields.thresholds ?? (this.kind === 'multilabel' ? fields.labels.map(() => DEFAULT_THRESHOLD) : null);
    this.temperature = fields.temperature ?? 1;
    this.unknown = fields.unknown ?? null;
    this.metrics = fields.metrics;
    this.created = fields.created;
    checkFields(this);
  }

  /** The same head but for the given fields. @throws {LastlayerError} as the constructor does */
  with(changes: Partial<HeadFields>): Head {
    const { weights, bias, labels, modelId, transformId, l2, counts, training, metrics, created } = this;
    const { kind, thresholds, temperature, unknown } = this;
    return new Head({
      weights,
      bias,
      labels,
      modelId,
      transformId,
      l2,
      counts,
      training,
      metrics,
      created,
      kind,
      thresholds,
      temperature,
      unknown,
      ...changes,
    });
  }

  /** D: the number of features that the head reads. */
  get width(): number {
    return this.weights.columns;
  }

  /** The place of a class in every row of logits and probabilities; undefined where the head does not know it. */
  indexOf(label: string): number | undefined {
    const index = this.labels.indexOf(label);
    return index < 0 ? undefined : index;
  }

  /**
   * X Wᵀ + b, in float64.
   * @param embeddings [rows × width] row-major
   * @returns [rows, N]
   * @throws {LastlayerError} where the length is no multiple of the width, or a row holds NaN or infinity
   */
  logits(embeddings: Float32Array): Matrix {
    const logits = this.rowsOf(embeddings).mmul(this.weights.transpose()).addRowVector(this.bias);
    for (let i = 0; i < logits.rows; i++) {
      if (!logits.getRow(i).every(Number.isFinite)) {
        throw new LastlayerError(
          `The embedding in row ${i} holds NaN or infinite values. Embed the picture again.`,
        );
      }
    }
    return logits;
  }

  private rowsOf(embeddings: Float32Array): Matrix {
    const { width } = this;
    if (embeddings.length % width !== 0) {
      throw new LastlayerError(
        `The head reads embeddings of ${width} numbers, and was given ${embeddings.length} numbers, which is no ` +
          `multiple of that. Use the backbone that it was trained on (${this.modelId}).`,
      );
    }
    return Matrix.from1DArray(embeddings.length / width, width, embeddings);
  }

  /**
   * softmax((X Wᵀ + b) / T), with the largest logit subtracted first so that nothing overflows; of a multilabel head,
   * sigmoid((X Wᵀ + b) / T).
   * @param embeddings [rows × width] row-major
   * @returns [rows, N]; with softmax every row sums to 1
   * @throws {LastlayerError} as {@link logits} does
   */
  predictProba(embeddings: Float32Array): Matrix {
    const logits = this.logits(embeddings);
    if (this.kind === 'multilabel') {
      return new Matrix(logits.to2DArray().map((row) => row.map((z) => sigmoid(z / this.temperature))));
    }
    for (let i = 0; i < logits.rows; i++) {
      logits.setRow(i, softmax(logits.getRow(i), this.temperature));
    }
    return logits;
  }

  /**
   * Whether pictures are probably none of the classes: less like any of them, by the cosine to the class means, than 95 %
   * of the pictures that were classified rightly in training. That catches most pictures of quite other things; it can
   * not catch one that looks like one of the classes and is something else.
   * @param embeddings [rows × width] row-major
   * @returns [rows]; false each for a head without class means
   * @throws {LastlayerError} as {@link logits} does
   */
  areUnknown(embeddings: Float32Array): boolean[] {
    const X = this.rowsOf(embeddings);
    const { unknown } = this;
    if (!unknown) return Array.from({ length: X.rows }, () => false);
    const products = X.mmul(unknown.means.transpose());
    return X.to2DArray().map((row, i) => products.maxRow(i) / (Math.hypot(...row) || 1) < unknown.threshold);
  }

  /**
   * The labels that a multilabel head gives to each embedding: those whose probability reaches their threshold.
   * @param embeddings [rows × width] row-major
   * @returns [rows], each in the order of `labels`; none each for a softmax head, which has `predict`
   * @throws {LastlayerError} as {@link logits} does
   */
  labelsOf(embeddings: Float32Array): string[][] {
    const { thresholds, labels } = this;
    return this.predictProba(embeddings)
      .to2DArray()
      .map((row) => (thresholds ? labels.filter((_, n) => (row[n] ?? 0) >= (thresholds[n] ?? 1)) : []));
  }

  /**
   * The most probable classes of each embedding, best first; of equals, the one that comes first in `labels`.
   * @param embeddings [rows × width] row-major
   * @param topK how many classes, 1 or more; all of them where there are fewer
   * @throws {UsageError} where topK is no whole number ≥ 1
   * @throws {LastlayerError} as {@link logits} does
   */
  predict(embeddings: Float32Array, topK = 1): Prediction[][] {
    checkInteger('topK', topK, { min: 1 });
    const probabilities = this.predictProba(embeddings).to2DArray();
    return probabilities.map((row) =>
      this.labels
        .map((label, n) => ({ label, probability: row[n] ?? 0 }))
        .sort((a, b) => b.probability - a.probability)
        .slice(0, topK),
    );
  }
}

/** One class a row of embeddings, or any number of labels, each by itself. */
export type HeadKind = 'softmax' | 'multilabel';
export const HEAD_KINDS: readonly HeadKind[] = ['softmax', 'multilabel'];

/** How a head's training went. */
export interface TrainingReport {
  iterations: number;
  /** True only where gradientNorm ≤ tolerance. */
  converged: boolean;
  /** Why the optimiser stopped. */
  reason: StopReason;
  /** The objective at the end: weighted mean cross-entropy in nats, of several labels their sum, + λ/2 ‖W‖², on standardised features where `standardize` is on. */
  loss: number;
  /** ‖∇f‖∞ at the end. */
  gradientNorm: number;
  tolerance: number;
  standardize: boolean;
  /** ε; 0 where it is absent. */
  labelSmoothing?: number | undefined;
}

/** A value that JSON can hold. */
export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue };

/** A picture is unknown where the cosine of its embedding to each class mean is below the threshold. */
export interface UnknownDetector {
  /** The classes' mean directions, rows of length 1; [N, D]. */
  means: Matrix;
  /** −1 … 1 */
  threshold: number;
}

/** What makes a head. */
export interface HeadFields {
  /** Default `softmax`. */
  kind?: HeadKind | undefined;
  /** W [N, D], for raw embeddings. */
  weights: Matrix;
  /** b [N] */
  bias: Float32Array;
  /** The classes' names, in the order of the rows of W. */
  labels: readonly string[];
  /** The backbone that made the embeddings: a head is worth nothing on another one's. */
  modelId: string;
  /** The picture transform of the embeddings. */
  transformId: string;
  /** λ */
  l2: number;
  /** Examples of each class, in the order of `labels`. */
  counts: { train: readonly number[]; validation: readonly number[] };
  training: TrainingReport;
  /** From which probability on each label is given, 0 … 1; [N]; for `multilabel` alone, default ½ each. */
  thresholds?: readonly number[] | null | undefined;
  /** T > 0: probabilities are softmax(logits / T), or sigmoid(logits / T); default 1. */
  temperature?: number | undefined;
  /** By which pictures are said to be none of the classes; null, the default, where none ever is. */
  unknown?: UnknownDetector | null | undefined;
  /** Whatever was measured of the head; null where nothing was. */
  metrics: JsonValue;
  /** When it was trained; ISO 8601. */
  created: string;
}

/** @throws {LastlayerError} where the shapes disagree or a number is out of its range */
function checkFields(fields: Head): void {
  const { kind, thresholds, weights, bias, labels, counts, temperature, unknown } = fields;
  const found = {
    'rows of weights': weights.rows,
    biases: bias.length,
    'training counts': counts.train.length,
    'validation counts': counts.validation.length,
    ...(thresholds && { thresholds: thresholds.length }),
  };
  for (const [what, number] of Object.entries(found)) {
    if (number !== labels.length) {
      throw new LastlayerError(
        `The head has ${labels.length} labels and ${number} ${what}: they must be as many.`,
      );
    }
  }
  if (labels.length === 0) throw new LastlayerError('The head has no labels.');
  if (new Set(labels).size < labels.length) throw new LastlayerError('The head names one label twice.');
  if (!weights.to1DArray().every(Number.isFinite) || !bias.every(Number.isFinite)) {
    throw new LastlayerError('The head holds weights that are NaN or infinite.');
  }
  checkNumber("The head's temperature", temperature, { above: 0, Failure: LastlayerError });
  if ((kind === 'multilabel') !== (thresholds !== null)) {
    throw new LastlayerError(
      `The head's thresholds do not fit its kind, ${kind}: multilabel heads alone have them.`,
    );
  }
  thresholds?.forEach((threshold, n) => {
    checkNumber(`The threshold of ${JSON.stringify(labels[n])}`, threshold, {
      min: 0,
      max: 1,
      Failure: LastlayerError,
    });
  });
  if (!unknown) return;
  if (!unknown.means.to1DArray().every(Number.isFinite)) {
    throw new LastlayerError('The head holds class means that are NaN or infinite.');
  }
  if (unknown.means.rows !== labels.length || unknown.means.columns !== weights.columns) {
    throw new LastlayerError(
      `The head's class means are [${unknown.means.rows}, ${unknown.means.columns}]; they must be as many as its weights, ` +
        `[${weights.rows}, ${weights.columns}].`,
    );
  }
  checkNumber("The head's threshold", unknown.threshold, { min: -1, max: 1, Failure: LastlayerError });
}
