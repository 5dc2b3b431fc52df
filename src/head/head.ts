import { DEFAULT_TOP_K } from '../util/defaults.js';
import { LastlayerError, UsageError } from '../util/errors.js';
import type { JsonValue } from '../util/json.js';
import { sigmoid, softmax } from '../util/math.js';
import { Matrix } from '../util/matrix.js';
import { checkInteger, checkNumber } from '../util/validate.js';
import type { StopReason } from './lbfgs.js';
import { DEFAULT_THRESHOLD } from './metrics.js';
import type { HeadKind } from './task.js';
import {
  checkRate,
  checkTypical,
  type Typicality,
  typicalityBy,
  type TypicalScores,
  type UnknownRate,
} from './unknown.js';

/** A class that a head gives to an embedding. */
export interface Prediction {
  label: string;
  /** 0 … 1 */
  probability: number;
}

/**
 * A trained last layer: logits = W x + b, probabilities = softmax(logits / T) or, for a `multilabel` head, σ(logits / T).
 * It is immutable: `head.with({ metrics })` returns another one.
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
  readonly trainedOn: Float64Array | null;
  readonly metrics: JsonValue;
  readonly created: string;

  /** @throws {LastlayerError} if the shapes of weights, bias, labels and counts disagree, or a number is out of its range */
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
    this.trainedOn = fields.trainedOn ?? null;
    this.metrics = fields.metrics;
    this.created = fields.created;
    checkFields(this);
  }

  /** The same head with other values in some fields. @throws {LastlayerError} as the constructor does */
  with(changes: Partial<HeadFields>): Head {
    return new Head({ ...(this as HeadFields), ...changes });
  }

  /** D: the number of features that the head reads. */
  get width(): number {
    return this.weights.columns;
  }

  /** The index of a class in every row of logits and probabilities; undefined if the head does not know it. */
  indexOf(label: string): number | undefined {
    const index = this.labels.indexOf(label);
    return index < 0 ? undefined : index;
  }

  /**
   * X Wᵀ + b, in float64.
   * @param embeddings [rows × width] row-major
   * @returns [rows, N]
   * @throws {LastlayerError} if the length is not a multiple of the width, or a row holds NaN or infinity
   */
  logits(embeddings: Float32Array): Matrix {
    const logits = this.rowsOf(embeddings).mmul(this.weights.transpose()).addRowVector(this.bias);
    for (let i = 0; i < logits.rows; i++) {
      if (!logits.getRow(i).every(Number.isFinite)) {
        throw new LastlayerError(`The embedding in row ${i} holds NaN or infinite values. Embed the picture again.`);
      }
    }
    return logits;
  }

  private rowsOf(embeddings: Float32Array): Matrix {
    const { width } = this;
    if (embeddings.length % width !== 0) {
      throw new LastlayerError(
        `The head reads embeddings of ${width} numbers, but was given ${embeddings.length} numbers, which is not a ` +
          `multiple of that. Use the backbone that it was trained on (${this.modelId}).`,
      );
    }
    return Matrix.from1DArray(embeddings.length / width, width, embeddings);
  }

  /**
   * softmax((X Wᵀ + b) / T) or, for a multilabel head, σ((X Wᵀ + b) / T).
   * @param embeddings [rows × width] row-major
   * @returns [rows, N]; for softmax, every row sums to 1
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
   * How typical pictures are of their most probable class, and whether they are so little that they are unlike the training
   * pictures, see {@link UnknownDetector}. This catches most pictures of other things, but not one that looks like a class
   * and is something else.
   * @param embeddings [rows × width] row-major
   * @returns [rows]
   * @throws {LastlayerError} as {@link logits} does
   */
  typicality(embeddings: Float32Array): Typicality[] {
    const X = this.rowsOf(embeddings);
    const { unknown } = this;
    if (!unknown) return Array.from({ length: X.rows }, () => ({ typicality: null, unknown: false }));
    const probabilities = this.predictProba(embeddings);
    const products = X.mmul(unknown.means.transpose());
    return X.to2DArray().map((row, i) => {
      const cosine = products.maxRow(i) / (Math.hypot(...row) || 1);
      return typicalityBy(unknown, cosine, probabilities.maxRow(i));
    });
  }

  /**
   * The same head with another rate of unknown pictures.
   * @throws {UsageError} if it is not above 0 and below 1, or the head has nothing to tell unknown pictures by
   */
  withUnknown(rate: UnknownRate): Head {
    checkRate(rate);
    if (this.unknown) return this.with({ unknown: { ...this.unknown, rate } });
    if (rate === 'off') return this;
    const reason =
      this.kind === 'multilabel' ? 'a multilabel head calls none so' : 'it was trained without cross-validation';
    throw new UsageError(
      `The head cannot call pictures unknown, as ${reason}. Leave out the rate of unknown pictures (--unknown).`,
    );
  }

  /**
   * Whether a picture was among those that the head was trained on.
   * @param digest sha256 of its bytes, in hexadecimal
   * @returns undefined if the head does not know what it was trained on
   */
  wasTrainedOn(digest: string): boolean | undefined {
    const { trainedOn } = this;
    if (!trainedOn) return undefined;
    const key = pictureKey(digest);
    let [from, to] = [0, trainedOn.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (trainedOn[middle]! < key) from = middle + 1;
      else to = middle;
    }
    return trainedOn[from] === key;
  }

  /**
   * The labels that a multilabel head predicts: those whose probability is at least their threshold.
   * @param embeddings [rows × width] row-major
   * @returns [rows], each in the order of `labels`; always empty for a softmax head, which has `predict`
   * @throws {LastlayerError} as {@link logits} does
   */
  labelsOf(embeddings: Float32Array): string[][] {
    const { thresholds, labels } = this;
    return this.predictProba(embeddings)
      .to2DArray()
      .map((row) => (thresholds ? labels.filter((_, n) => (row[n] ?? 0) >= (thresholds[n] ?? 1)) : []));
  }

  /**
   * The most probable classes of each embedding, best first. In a tie, the one that comes first in `labels`.
   * @param embeddings [rows × width] row-major
   * @param topK how many classes at most, 1 or more. @default 3
   * @throws {UsageError} if topK is not a whole number ≥ 1
   * @throws {LastlayerError} as {@link logits} does
   */
  predict(embeddings: Float32Array, topK = DEFAULT_TOP_K): Prediction[][] {
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

/** Enough of a picture's sha256 to tell a million pictures apart: two of them agree in it with a probability below 0.2 %. */
const KEY_DIGITS = 12;

/** The first 48 bits of a picture's sha256, which a number holds exactly. */
function pictureKey(digest: string): number {
  return Number.parseInt(digest.slice(0, KEY_DIGITS), 16);
}

/** What a head keeps of the pictures that it was trained on: the first 48 bits of each sha256, once each, ascending. */
export function pictureKeys(digests: readonly string[]): Float64Array {
  return Float64Array.from(new Set(digests.map(pictureKey))).sort();
}

/** How a head's training went. */
export interface TrainingReport {
  iterations: number;
  /** Whether gradientNorm ≤ tolerance. */
  converged: boolean;
  /** Why the optimiser stopped. */
  reason: StopReason;
  /** The objective at the end: weighted mean cross-entropy in nats + λ/2 ‖W‖², on half-whitened features if `whiten` is on. */
  loss: number;
  /** ‖∇f‖∞ at the end. */
  gradientNorm: number;
  tolerance: number;
  whiten: boolean;
  /** ε */
  labelSmoothing: number;
}

/** A picture is unknown if a smaller share than the rate of the right out-of-fold predictions are less typical than it. */
export interface UnknownDetector {
  /** The mean direction of each class, rows of length 1; [N, D]. */
  means: Matrix;
  typical: TypicalScores;
  rate: UnknownRate;
}

/** What makes a head. */
export interface HeadFields {
  /** @default 'softmax' */
  kind?: HeadKind | undefined;
  /** W [N, D], for raw embeddings. */
  weights: Matrix;
  /** b [N] */
  bias: Float32Array;
  /** The classes' names, in the order of the rows of W. */
  labels: readonly string[];
  /** The backbone that made the embeddings. A head is worthless on those of another one. */
  modelId: string;
  /** The image transform of the embeddings. */
  transformId: string;
  /** λ */
  l2: number;
  /** Examples of each class, in the order of `labels`. */
  counts: { train: readonly number[]; validation: readonly number[] };
  training: TrainingReport;
  /** multilabel only: a label is predicted if its probability is at least this, 0 … 1; [N]. @default ½ each */
  thresholds?: readonly number[] | null | undefined;
  /** T > 0. @default 1 */
  temperature?: number | undefined;
  /** What tells how typical a picture is; null if nothing does. @default null */
  unknown?: UnknownDetector | null | undefined;
  /** The pictures that it was trained on, see {@link pictureKeys}; null if that is not known. @default null */
  trainedOn?: Float64Array | null | undefined;
  /** How good the head was found to be; null if that was not measured. */
  metrics: JsonValue;
  /** When it was trained; ISO 8601. */
  created: string;
}

/** @throws {LastlayerError} if the shapes disagree or a number is out of its range */
function checkFields(fields: Head): void {
  const { kind, thresholds, weights, bias, labels, counts, temperature, unknown, trainedOn } = fields;
  const found = {
    'rows of weights': weights.rows,
    biases: bias.length,
    'training counts': counts.train.length,
    'validation counts': counts.validation.length,
    ...(thresholds && { thresholds: thresholds.length }),
  };
  for (const [what, number] of Object.entries(found)) {
    if (number !== labels.length) {
      throw new LastlayerError(`The head has ${labels.length} labels but ${number} ${what}. There must be as many.`);
    }
  }
  if (labels.length === 0) throw new LastlayerError('The head has no labels.');
  if (new Set(labels).size < labels.length) throw new LastlayerError('The head names one label twice.');
  if (!weights.to1DArray().every(Number.isFinite) || !bias.every(Number.isFinite)) {
    throw new LastlayerError('The head holds weights that are NaN or infinite.');
  }
  checkNumber("The head's temperature", temperature, { above: 0, Failure: LastlayerError });
  if ((kind === 'multilabel') !== (thresholds !== null)) {
    throw new LastlayerError(`The head's thresholds do not fit its kind, ${kind}: only multilabel heads have them.`);
  }
  thresholds?.forEach((threshold, n) => {
    checkNumber(`The threshold of ${JSON.stringify(labels[n])}`, threshold, {
      min: 0,
      max: 1,
      Failure: LastlayerError,
    });
  });
  if (
    trainedOn?.some((key, i) => !Number.isInteger(key) || key < 0 || key >= 2 ** 48 || key <= (trainedOn[i - 1] ?? -1))
  ) {
    throw new LastlayerError('The head holds a list of training pictures that is not one of ascending digests.');
  }
  if (!unknown) return;
  if (!unknown.means.to1DArray().every(Number.isFinite)) {
    throw new LastlayerError('The head holds class means that are NaN or infinite.');
  }
  if (unknown.means.rows !== labels.length || unknown.means.columns !== weights.columns) {
    throw new LastlayerError(
      `The head's class means are [${unknown.means.rows}, ${unknown.means.columns}]. They must have the shape of its ` +
        `weights, [${weights.rows}, ${weights.columns}].`,
    );
  }
  checkTypical(unknown.typical);
  checkRate(unknown.rate, { Failure: LastlayerError });
}
