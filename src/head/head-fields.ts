import type { Matrix } from 'ml-matrix';
import { LastlayerError } from '../errors.js';
import type { StopReason } from './lbfgs.js';

/** How a head's training went. */
export interface TrainingReport {
  iterations: number;
  /** True only where gradientNorm ≤ tolerance. */
  converged: boolean;
  /** Why the optimiser stopped. */
  reason: StopReason;
  /** The objective at the end: weighted mean cross-entropy in nats + λ/2 ‖W‖², on standardised features where `standardize` is on. */
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

/** What makes a head. */
export interface HeadFields {
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
  /** T > 0: probabilities are softmax(logits / T); default 1. */
  temperature?: number;
  /** Pictures whose top probability is below this are none of the classes, 0 … 1; null, the default, for no such rule. */
  unknownThreshold?: number | null;
  /** Whatever was measured of the head; null where nothing was. */
  metrics: JsonValue;
  /** When it was trained; ISO 8601. */
  created: string;
}

/** @throws {LastlayerError} where the shapes disagree or a number is out of its range */
export function checkFields(fields: Required<HeadFields>): void {
  const { weights, bias, labels, counts, temperature, unknownThreshold } = fields;
  const found = {
    'rows of weights': weights.rows,
    biases: bias.length,
    'training counts': counts.train.length,
    'validation counts': counts.validation.length,
  };
  for (const [what, number] of Object.entries(found)) {
    if (number !== labels.length) {
      throw new LastlayerError(
        `The head has ${labels.length} labels and ${number} ${what}: they must be as many.`,
      );
    }
  }
  if (new Set(labels).size < labels.length) throw new LastlayerError('The head names one label twice.');
  if (!weights.to1DArray().every(Number.isFinite) || !bias.every(Number.isFinite)) {
    throw new LastlayerError('The head holds weights that are NaN or infinite.');
  }
  if (!(temperature > 0 && Number.isFinite(temperature))) {
    throw new LastlayerError(`The head's temperature is ${temperature}; it must be a number above 0.`);
  }
  if (unknownThreshold !== null && !(unknownThreshold >= 0 && unknownThreshold <= 1)) {
    throw new LastlayerError(`The head's threshold is ${unknownThreshold}; it must be between 0 and 1.`);
  }
}
