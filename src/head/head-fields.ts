import type { Matrix } from 'ml-matrix';
import { LastlayerError } from '../errors.js';
import type { StopReason } from './lbfgs.js';

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
  labelSmoothing?: number;
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
  kind?: HeadKind;
  /** W [N, D], for raw embeddings. */
  weights: Matrix;
  /** b [N] */
  bias: Float32Array;
  /** The classes' names, in the order of the rows of W. */
  labels: readonly string[];
  /** The trunk that made the embeddings: a head is worth nothing on another one's. */
  modelId: string;
  /** The picture transform of the embeddings. */
  transformId: string;
  /** λ */
  l2: number;
  /** Examples of each class, in the order of `labels`. */
  counts: { train: readonly number[]; validation: readonly number[] };
  training: TrainingReport;
  /** From which probability on each label is given, 0 … 1; [N]; for `multilabel` alone, default ½ each. */
  thresholds?: readonly number[] | null;
  /** T > 0: probabilities are softmax(logits / T), or sigmoid(logits / T); default 1. */
  temperature?: number;
  /** By which pictures are said to be none of the classes; null, the default, where none ever is. */
  unknown?: UnknownDetector | null;
  /** Whatever was measured of the head; null where nothing was. */
  metrics: JsonValue;
  /** When it was trained; ISO 8601. */
  created: string;
}

/** @throws {LastlayerError} where the shapes disagree or a number is out of its range */
export function checkFields(fields: Required<HeadFields>): void {
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
  if (!(temperature > 0 && Number.isFinite(temperature))) {
    throw new LastlayerError(`The head's temperature is ${temperature}; it must be a number above 0.`);
  }
  if ((kind === 'multilabel') !== (thresholds !== null)) {
    throw new LastlayerError(
      `The head's thresholds do not fit its kind, ${kind}: multilabel heads alone have them.`,
    );
  }
  const bad = thresholds?.find((threshold) => !(threshold >= 0 && threshold <= 1));
  if (bad !== undefined) {
    throw new LastlayerError(`The head has the threshold ${bad}; it must be between 0 and 1.`);
  }
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
  if (!(unknown.threshold >= -1 && unknown.threshold <= 1)) {
    throw new LastlayerError(`The head's threshold is ${unknown.threshold}; it must be between -1 and 1.`);
  }
}
