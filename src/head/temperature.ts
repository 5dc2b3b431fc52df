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
  let [low, high] = [Math.log(1 / RANGE[1]), Math.log(1 / RANGE[0])];
  while (high - low > PRECISION) {
    const middle = (low + high) / 2;
    if (slope(blocks, count, Math.exp(middle)) < 0) low = middle;
    else high = middle;
  }
  return Math.exp(-(low + high) / 2);
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
