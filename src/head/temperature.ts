import { sigmoid } from './sigmoid.js';
import { logSumExp } from './softmax.js';

/** Some rows of logits and their true classes. */
export interface LogitBlock {
  /** [rows × classes], row-major. */
  logits: Float32Array;
  /** [rows] */
  classes: Int32Array;
  /** [rows]; 1 each where there are none. */
  weights?: Float32Array;
}

/** T lies between these. */
const RANGE = [0.05, 20] as const;

/** T is found to this part of itself. */
const PRECISION = 1e-6;

/**
 * The temperature T for which softmax(z / T) has the least weighted mean log loss (Guo et al. 2017, "On Calibration of
 * Modern Neural Networks", section 4.2). Logits have to be of rows that the head was not trained on. In β = 1 / T the loss
 * is convex, so that its slope has one root, which bisection of log β finds. One row more is taken to exist, whose class
 * is any class alike: were all rows right, T would otherwise be 0 and every answer certain.
 * @param count N, the number of classes
 * @returns T, 0.05 … 20; 1 where there are no rows
 */
export function fitTemperature(blocks: readonly LogitBlock[], count: number): number {
  if (!blocks.some(({ classes }) => classes.length > 0)) return 1;
  return temperatureWhere((beta) => slope(blocks, count, beta));
}

/** A row's logits and which labels it has. */
export interface LabelledLogits {
  /** [N] */
  logits: Float32Array;
  /** The places of its labels. */
  truth: readonly number[];
  weight: number;
}

/**
 * As {@link fitTemperature}, the T of σ(z / T) for rows with any number of labels: one T for all labels, by the least weighted
 * log loss of all of them. Of the row more, each label is as likely there as not.
 * @returns T, 0.05 … 20; 1 where there are no rows
 */
export function fitLabelTemperature(rows: readonly LabelledLogits[]): number {
  if (rows.length === 0) return 1;
  return temperatureWhere((beta) => labelSlope(rows, beta));
}

/** Where a slope that rises with log β goes through 0, as T = 1 / β. */
function temperatureWhere(slopeAt: (beta: number) => number): number {
  let [low, high] = [Math.log(1 / RANGE[1]), Math.log(1 / RANGE[0])];
  while (high - low > PRECISION) {
    const middle = (low + high) / 2;
    if (slopeAt(Math.exp(middle)) < 0) low = middle;
    else high = middle;
  }
  return Math.exp(-(low + high) / 2);
}

/** d/dβ of the log loss: Σ over rows and labels of (pₙ − tₙ) zₙ. */
function labelSlope(rows: readonly LabelledLogits[], beta: number): number {
  const smoothing = 1 / (rows.length + 1);
  let total = 0;
  for (const { logits, truth, weight } of rows) {
    const has = new Set(truth);
    logits.forEach((z, n) => {
      const target = (1 - smoothing) * (has.has(n) ? 1 : 0) + smoothing / 2;
      total += weight * (sigmoid(beta * z) - target) * z;
    });
  }
  return total;
}

/** d/dβ of the mean log loss: the mean over rows of Σₙ pₙ zₙ − Σₙ tₙ zₙ. */
function slope(blocks: readonly LogitBlock[], count: number, beta: number): number {
  const rows = blocks.reduce((sum, { classes }) => sum + classes.length, 0);
  const smoothing = 1 / (rows + 1);
  let total = 0;
  for (const { logits, classes, weights } of blocks) {
    for (let i = 0; i < classes.length; i++) {
      const at = i * count;
      const normaliser = logSumExp(logits, at, count, beta);
      let [expected, mean] = [0, 0];
      for (let n = 0; n < count; n++) {
        const z = logits[at + n] ?? 0;
        expected += Math.exp(beta * z - normaliser) * z;
        mean += z / count;
      }
      const target = (1 - smoothing) * (logits[at + (classes[i] ?? 0)] ?? 0) + smoothing * mean;
      total += (weights?.[i] ?? 1) * (expected - target);
    }
  }
  return total;
}
