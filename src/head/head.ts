import { Matrix } from 'ml-matrix';
import { LastlayerError, UsageError } from '../errors.js';
import { checkFields } from './head-fields.js';
import type { HeadFields, HeadKind, JsonValue, TrainingReport, UnknownDetector } from './head-fields.js';
import { DEFAULT_THRESHOLD } from './ranking.js';
import { sigmoid } from './sigmoid.js';

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
      ...{ weights, bias, labels, modelId, transformId, l2, counts, training, metrics, created },
      ...{ kind, thresholds, temperature, unknown },
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
          `multiple of that. Use the trunk that it was trained on (${this.modelId}).`,
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
      const largest = logits.maxRow(i);
      const exponentials = logits.getRow(i).map((logit) => Math.exp((logit - largest) / this.temperature));
      const sum = exponentials.reduce((total, value) => total + value, 0);
      logits.setRow(
        i,
        exponentials.map((value) => value / sum),
      );
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
    if (!Number.isInteger(topK) || topK < 1) {
      throw new UsageError(`topK is ${topK}; it must be a whole number of 1 or more.`);
    }
    const probabilities = this.predictProba(embeddings).to2DArray();
    return probabilities.map((row) =>
      this.labels
        .map((label, n) => ({ label, probability: row[n] ?? 0 }))
        .sort((a, b) => b.probability - a.probability)
        .slice(0, topK),
    );
  }
}
