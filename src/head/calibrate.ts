import { argmax, binaryCrossEntropy, logSumExp, sigmoid } from '../util/math.js';
import { judgeLogits } from './evaluate.js';
import { Evaluation, type EvaluationResult } from './metrics.js';

/** Logits that the temperature is fitted to, at most: 64 MiB. Of more, evenly many rows are passed over. */
const MOST_LOGITS = 2 ** 24;

export interface CalibratedHeldOut {
  /** T */
  temperature: number;
  /** Null where nothing is classified rightly. */
  unknown: UnknownRule | null;
  /** With softmax(z / T). */
  evaluation: EvaluationResult;
  /** With softmax(z). */
  uncalibrated: { logLoss: number | null; ece: number | null };
}

/**
 * Finds, and judges, temperature and threshold on rows whose heads have not seen them. Both are fitted to the rows that
 * they are judged on here, but they are two numbers against all rows, so the figures are hardly too good.
 * @param heldOut goes through the rows; called twice
 * @param rows how many they are
 * @param similarities of each row to the nearest class mean, see `heldOutSimilarities`; [M]
 * @param labels the classes' names; [N]
 */
export async function calibrate(
  heldOut: () => AsyncIterable<LogitBlock & { rows: Int32Array }>,
  rows: number,
  similarities: Float64Array,
  labels: readonly string[],
): Promise<CalibratedHeldOut> {
  const count = labels.length;
  const temperature = fitTemperature(await sample(heldOut(), rows, count), count);
  const [after, before] = [new Evaluation(labels), new Evaluation(labels)];
  const [similarity, isRight] = [new Float64Array(rows), new Uint8Array(rows)];
  let filled = 0;
  for await (const block of heldOut()) {
    judgeLogits(block, count, temperature, after);
    judgeLogits(block, count, 1, before);
    block.classes.forEach((c, i) => {
      similarity[filled] = similarities[block.rows[i]!]!;
      isRight[filled++] = argmax(block.logits, i * count, count) === c ? 1 : 0;
    });
  }
  const { logLoss, calibration } = before.result();
  return {
    temperature,
    unknown: chooseUnknown(similarity, isRight),
    evaluation: after.result(),
    uncalibrated: { logLoss, ece: calibration.ece },
  };
}

async function sample(blocks: AsyncIterable<LogitBlock>, rows: number, count: number): Promise<LogitBlock[]> {
  const step = Math.ceil((rows * count) / MOST_LOGITS);
  const kept: LogitBlock[] = [];
  let seen = 0;
  for await (const { logits, classes, weights } of blocks) {
    const chosen = Int32Array.from(classes, (_, i) => i).filter((i) => (seen + i) % step === 0);
    seen += classes.length;
    const some = new Float32Array(chosen.length * count);
    chosen.forEach((i, at) => {
      some.set(logits.subarray(i * count, (i + 1) * count), at * count);
    });
    kept.push({
      logits: some,
      classes: chosen.map((i) => classes[i]!),
      ...(weights && { weights: Float32Array.from(chosen, (i) => weights[i]!) }),
    });
  }
  return kept;
}

/** Some rows of logits and their true classes. */
export interface LogitBlock {
  /** [rows × classes], row-major. */
  logits: Float32Array;
  /** [rows] */
  classes: Int32Array;
  /** [rows]; 1 each where there are none. */
  weights?: Float32Array | undefined;
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
        const z = logits[at + n]!;
        expected += Math.exp(beta * z - normaliser) * z;
        mean += z / count;
      }
      const target = (1 - smoothing) * logits[at + classes[i]!]! + smoothing * mean;
      const weight = weights?.[i] ?? 1;
      loss += weight * (normaliser - beta * target);
      slope += weight * (expected - target);
      sum += weight;
    }
  }
  return { loss, slope, meanWeight: sum / rows };
}

/** The part of the rightly classified examples that the threshold lets pass. */
const KEPT = 0.95;

/** Where a picture is said to be none of the classes, and what that does to the examples that it was chosen by. */
export interface UnknownRule {
  /** Pictures whose cosine to the nearest class mean is below this are called unknown; −1 … 1. */
  threshold: number;
  /** The part of the right answers that are let pass: {@link KEPT} or a little more. */
  keptRight: number;
  /** The part of the wrong answers that are called unknown; null where there was none. */
  flaggedWrong: number | null;
}

/**
 * The largest threshold that lets 95 % of the right answers pass. The answers have to be about pictures that the head was
 * not trained on. It goes by the cosine to the class means and not by the probability: of pictures that have nothing to do
 * with the classes, at the same cost in right answers, it catches 46 to 99 % where the probability catches 2 to 36 %
 * (ants and bees against Imagenette and single ImageNet pictures, and the other way round).
 * @param similarities to the nearest class mean; [M]
 * @param isRight [M]
 * @returns null where no answer is right
 */
export function chooseUnknown(similarities: Float64Array, isRight: Uint8Array): UnknownRule | null {
  const right = similarities.filter((_, i) => isRight[i] === 1).sort();
  const wrong = similarities.filter((_, i) => isRight[i] === 0);
  const threshold = right[Math.floor((1 - KEPT) * right.length)];
  if (threshold === undefined) return null;
  return {
    threshold,
    keptRight: right.filter((value) => value >= threshold).length / right.length,
    flaggedWrong:
      wrong.length === 0 ? null : wrong.filter((value) => value < threshold).length / wrong.length,
  };
}
