import { binaryCrossEntropy, sigmoid } from './sigmoid.js';
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

/** Of the sum of log losses, in nats: Akaike's price of one parameter. */
const LEAST_GAIN = 1;

/**
 * The temperature T for which softmax(z / T) has the least weighted mean log loss (Guo et al. 2017, "On Calibration of
 * Modern Neural Networks", section 4.2). Logits have to be of rows that the head was not trained on. In β = 1 / T the loss
 * is convex, so that its slope has one root, which bisection of log β finds. One row more is taken to exist, whose class
 * is any class alike: were all rows right, T would otherwise be 0 and every answer certain.
 *
 * T stays 1 unless it lowers the sum of the rows' log losses by more than 1: what gains less, per parameter, is expected to
 * lose on new rows (Akaike 1974, "A New Look at the Statistical Model Identification").
 * @param count N, the number of classes
 * @returns T, 0.05 … 20; 1 where there are no rows
 */
export function fitTemperature(blocks: readonly LogitBlock[], count: number): number {
  if (!blocks.some(({ classes }) => classes.length > 0)) return 1;
  return temperatureOf((beta) => objective(blocks, count, beta));
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
  return temperatureOf((beta) => labelObjective(rows, beta));
}

/** The weighted sum of log losses at a β, its derivative there, and the weights' sum over how many rows there are. */
interface Objective {
  loss: number;
  slope: number;
  meanWeight: number;
}

/** 1 / β where the slope, which rises with β, goes through 0; or 1 where that gains too little. */
function temperatureOf(at: (beta: number) => Objective): number {
  let [low, high] = [Math.log(1 / RANGE[1]), Math.log(1 / RANGE[0])];
  while (high - low > PRECISION) {
    const middle = (low + high) / 2;
    if (at(Math.exp(middle)).slope < 0) low = middle;
    else high = middle;
  }
  const beta = Math.exp((low + high) / 2);
  const { loss, meanWeight } = at(1);
  return (loss - at(beta).loss) / meanWeight > LEAST_GAIN ? 1 / beta : 1;
}

/** Of each label, its loss is log(1 + exp(βz)) − tβz and the slope (σ(βz) − t) z. */
function labelObjective(rows: readonly LabelledLogits[], beta: number): Objective {
  const smoothing = 1 / (rows.length + 1);
  let [loss, slope, weights] = [0, 0, 0];
  for (const { logits, truth, weight } of rows) {
    const has = new Set(truth);
    logits.forEach((z, n) => {
      const target = (1 - smoothing) * (has.has(n) ? 1 : 0) + smoothing / 2;
      loss += weight * (binaryCrossEntropy(beta * z, false) - target * beta * z);
      slope += weight * (sigmoid(beta * z) - target) * z;
    });
    weights += weight;
  }
  return { loss, slope, meanWeight: weights / rows.length };
}

/** Of each row, the loss is log Σₙ exp(βzₙ) − β Σₙ tₙ zₙ and the slope Σₙ pₙ zₙ − Σₙ tₙ zₙ. */
function objective(blocks: readonly LogitBlock[], count: number, beta: number): Objective {
  const rows = blocks.reduce((sum, { classes }) => sum + classes.length, 0);
  const smoothing = 1 / (rows + 1);
  let [loss, slope, sum] = [0, 0, 0];
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
      const weight = weights?.[i] ?? 1;
      loss += weight * (normaliser - beta * target);
      slope += weight * (expected - target);
      sum += weight;
    }
  }
  return { loss, slope, meanWeight: sum / rows };
}
