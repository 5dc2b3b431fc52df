import { Matrix } from '../util/matrix.js';
import { checkInteger } from '../util/validate.js';
import { mean, ratio, sum } from '../util/math.js';

/** In the log loss, probabilities are clipped to at least this, as in scikit-learn for float64: one sure mistake costs 36 nats. */
export const SMALLEST_PROBABILITY = Number.EPSILON;

/** How well one class is predicted. TP, FP, FN: true positives, false positives, false negatives. */
export interface ClassMetrics {
  label: string;
  /** TP / (TP + FP); null if the class was never predicted. */
  precision: number | null;
  /** TP / (TP + FN); null if no example is of the class. */
  recall: number | null;
  /** 2 TP / (2 TP + FP + FN), the harmonic mean of both; null if the class neither occurs nor was predicted. */
  f1: number | null;
  /** Examples of the class: TP + FN. */
  support: number;
}

/** Metrics over all examples that were added; null if there were none. */
export interface EvaluationResult {
  /** Examples of known classes: every metric but `unknown` is about these. */
  count: number;
  accuracy: number | null;
  /** Its 95 % confidence interval, by Wilson. */
  accuracyInterval: [number, number] | null;
  /** Mean recall over the classes that have examples, so that a rare class counts as much as a frequent one. */
  balancedAccuracy: number | null;
  /** The fraction of examples whose true class is among the k most probable. */
  topK: { k: number; accuracy: number | null };
  /** −1/M Σ log p(true class), in nats, with p clipped to [2⁻⁵², 1]. */
  logLoss: number | null;
  /** Whether probabilities mean what they say. */
  calibration: Calibration;
  /** [N, N]; entry (i, j) counts the examples of class i that were predicted to be of class j. */
  confusion: Matrix;
  perClass: ClassMetrics[];
  /** Mean F1 over the classes for which it is defined. */
  macroF1: number | null;
  /** Examples whose label the head does not know, by label. No head can be right on them. */
  unknown: { label: string; count: number }[];
}

/** Collects examples one by one and measures how good the predictions are. Memory does not grow with their number. */
export class Evaluation {
  private readonly confusion: Matrix;
  private readonly unknown = new Map<string, number>();
  private count = 0;
  private amongTopK = 0;
  private lossSum = 0;
  private readonly reliability = new Reliability();
  private readonly k: number;

  /**
   * @param labels the class names, in the order of the probabilities
   * @throws {UsageError} if topK is not a whole number ≥ 1
   */
  constructor(
    private readonly labels: readonly string[],
    {
      topK = 5,
    }: { /** k of the top-k accuracy, at most the number of classes. @default 5 */ topK?: number | undefined } = {},
  ) {
    checkInteger('topK', topK, { min: 1 });
    this.k = Math.min(topK, labels.length);
    this.confusion = Matrix.zeros(labels.length, labels.length);
  }

  /**
   * Adds one example. In a tie, the first of the most probable classes counts as predicted.
   * @param trueClass index of its true class, 0 … N − 1
   * @param probabilities of each class; [N]
   * @throws {RangeError} if there is no such class, or not one probability per class
   */
  add(trueClass: number, probabilities: ArrayLike<number>): void {
    const ofTrueClass = probabilities[trueClass];
    if (ofTrueClass === undefined || probabilities.length !== this.labels.length) {
      throw new RangeError(
        `Class ${trueClass} with ${probabilities.length} probabilities, of ${this.labels.length} classes.`,
      );
    }
    // A plain loop, since there may be a thousand classes and a million examples.
    let [rank, predicted, top] = [0, 0, -Infinity];
    for (let n = 0; n < probabilities.length; n++) {
      const value = probabilities[n]!;
      if (value > ofTrueClass || (value === ofTrueClass && n < trueClass)) rank++;
      if (value > top) [predicted, top] = [n, value];
    }
    this.confusion.set(trueClass, predicted, this.confusion.get(trueClass, predicted) + 1);
    this.count++;
    if (rank < this.k) this.amongTopK++;
    this.lossSum -= Math.log(Math.max(ofTrueClass, SMALLEST_PROBABILITY));
    this.reliability.add(top, predicted === trueClass);
  }

  /** Counts an example whose label the head does not know. */
  addUnknown(label: string): void {
    this.unknown.set(label, (this.unknown.get(label) ?? 0) + 1);
  }

  /** The metrics of everything that was added so far. */
  result(): EvaluationResult {
    const perClass = this.labels.map((label, n): ClassMetrics => {
      const support = sum(this.confusion.getRow(n));
      const predicted = sum(this.confusion.getColumn(n));
      return { label, ...rates(this.confusion.get(n, n), predicted, support), support };
    });
    const right = this.confusion.trace();
    return {
      count: this.count,
      accuracy: ratio(right, this.count),
      accuracyInterval: wilsonInterval(right, this.count),
      balancedAccuracy: mean(perClass.flatMap(({ recall }) => recall ?? [])),
      topK: { k: this.k, accuracy: ratio(this.amongTopK, this.count) },
      logLoss: ratio(this.lossSum, this.count),
      calibration: this.reliability.result(),
      confusion: this.confusion.clone(),
      perClass,
      macroF1: mean(perClass.flatMap(({ f1 }) => f1 ?? [])),
      unknown: [...this.unknown].map(([label, count]) => ({ label, count })),
    };
  }
}

/** How well one label is predicted, at its threshold and, by average precision, without one. */
export interface LabelMetrics extends ClassMetrics {
  /** See {@link averagePrecision}; null if no example has the label. */
  averagePrecision: number | null;
}

/** Metrics over all examples that were added; null if there were none. */
export interface MultilabelResult {
  count: number;
  /** mAP: mean average precision over the labels that some example has. */
  meanAveragePrecision: number | null;
  /** Mean F1 over the labels for which it is defined. */
  macroF1: number | null;
  /** F1 of all decisions together. */
  microF1: number | null;
  /** The fraction of examples with every label right. */
  subsetAccuracy: number | null;
  /** The fraction of decisions that are wrong, of all labels of all examples. */
  hammingLoss: number | null;
  /** The mean over examples of the sum over labels of −log p(what is true of the label), in nats, with p clipped to [2⁻⁵², 1]. */
  logLoss: number | null;
  /** Whether probabilities mean what they say, over all labels of all examples. */
  calibration: Calibration;
  perLabel: LabelMetrics[];
  /** Labels that the head does not know, and how many examples have them. No metric is about these. */
  unknown: { label: string; count: number }[];
}

/** Collects examples with any number of labels. Keeps their probabilities, which average precision needs in order. */
export class MultilabelEvaluation {
  private readonly probabilities: Float64Array[] = [];
  private readonly truths: (readonly number[])[] = [];
  private readonly tallies: { truePositives: number; predicted: number; support: number }[];
  private readonly unknown = new Map<string, number>();
  private allRight = 0;
  private lossSum = 0;
  private readonly reliability = new Reliability();

  /** @param labels their names, in the order of the probabilities */
  constructor(private readonly labels: readonly string[]) {
    this.tallies = labels.map(() => ({ truePositives: 0, predicted: 0, support: 0 }));
  }

  /**
   * Adds one example.
   * @param truth indices of the labels that it has
   * @param probabilities of each label; [N]
   * @param thresholds a label is predicted if its probability is at least this; [N]
   * @throws {RangeError} if there is not one probability per label
   */
  add(truth: readonly number[], probabilities: Float64Array, thresholds: readonly number[]): void {
    if (probabilities.length !== this.labels.length) {
      throw new RangeError(`${probabilities.length} probabilities for ${this.labels.length} labels.`);
    }
    const has = new Set(truth);
    let isAllRight = true;
    for (const [n, tally] of this.tallies.entries()) {
      const p = probabilities[n]!;
      const [isTrue, isPredicted] = [has.has(n), p >= (thresholds[n] ?? 1)];
      if (isTrue) tally.support++;
      if (isPredicted) tally.predicted++;
      if (isTrue && isPredicted) tally.truePositives++;
      if (isTrue !== isPredicted) isAllRight = false;
      this.reliability.add(p, isTrue);
      this.lossSum -= Math.log(Math.max(isTrue ? p : 1 - p, SMALLEST_PROBABILITY));
    }
    if (isAllRight) this.allRight++;
    this.probabilities.push(probabilities.slice());
    this.truths.push(truth);
  }

  /** Counts a label that the head does not know. */
  addUnknown(label: string): void {
    this.unknown.set(label, (this.unknown.get(label) ?? 0) + 1);
  }

  /** The metrics of everything that was added so far. */
  result(): MultilabelResult {
    const perLabel = this.labels.map((label, n): LabelMetrics => {
      const { truePositives, predicted, support } = this.tallies[n]!;
      return {
        label,
        ...rates(truePositives, predicted, support),
        averagePrecision: averagePrecision(
          Float64Array.from(this.probabilities, (row) => row[n]!),
          Uint8Array.from(this.truths, (truth) => (truth.includes(n) ? 1 : 0)),
        ),
        support,
      };
    });
    const total = (key: 'truePositives' | 'predicted' | 'support') => sum(this.tallies.map((tally) => tally[key]));
    const count = this.truths.length;
    return {
      count,
      meanAveragePrecision: mean(perLabel.flatMap((each) => each.averagePrecision ?? [])),
      macroF1: mean(perLabel.flatMap(({ f1 }) => f1 ?? [])),
      microF1: ratio(2 * total('truePositives'), total('predicted') + total('support')),
      subsetAccuracy: ratio(this.allRight, count),
      hammingLoss: ratio(
        total('predicted') + total('support') - 2 * total('truePositives'),
        count * this.labels.length,
      ),
      logLoss: ratio(this.lossSum, count),
      calibration: this.reliability.result(),
      perLabel,
      unknown: [...this.unknown].map(([label, times]) => ({ label, count: times })),
    };
  }
}

function rates(truePositives: number, predicted: number, support: number) {
  return {
    precision: ratio(truePositives, predicted),
    recall: ratio(truePositives, support),
    f1: ratio(2 * truePositives, predicted + support),
  };
}

const BINS = 15;

/** Examples whose top probability is in (from, to]. */
export interface ReliabilityBin {
  from: number;
  to: number;
  count: number;
  /** Their mean top probability; null if there are none. */
  confidence: number | null;
  /** The fraction of them that was right; null if there are none. */
  accuracy: number | null;
}

/** How far the probability of the predicted class is from how often it is right. */
export interface Calibration {
  /**
   * The expected calibration error: Σ over bins of |accuracy − confidence| · count / M, over 15 bins of equal width
   * (Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3); null if there were no examples.
   */
  ece: number | null;
  bins: ReliabilityBin[];
}

/** Counts predictions by their probability. */
class Reliability {
  private readonly counts = new Float64Array(BINS);
  private readonly right = new Float64Array(BINS);
  private readonly confidence = new Float64Array(BINS);

  /** @param probability of the predicted class, 0 … 1 */
  add(probability: number, isRight: boolean): void {
    const bin = Math.min(BINS - 1, Math.max(0, Math.ceil(probability * BINS) - 1));
    this.counts[bin]!++;
    this.confidence[bin]! += probability;
    if (isRight) this.right[bin]!++;
  }

  result(): Calibration {
    const total = this.counts.reduce((all, n) => all + n, 0);
    let gaps = 0;
    const bins = Array.from(this.counts, (count, i): ReliabilityBin => {
      const [right, confidence] = [this.right[i]!, this.confidence[i]!];
      gaps += Math.abs(right - confidence);
      return {
        from: i / BINS,
        to: (i + 1) / BINS,
        count,
        confidence: ratio(confidence, count),
        accuracy: ratio(right, count),
      };
    });
    return { ece: ratio(gaps, total), bins };
  }
}

/** What a threshold lets through. */
interface Cut {
  /** The lowest score that is let through. */
  score: number;
  /** Rows at or above it, and how many of them are positive. */
  predicted: number;
  truePositives: number;
}

/** The cuts at each distinct score, the highest first: rows with equal scores are let through together. */
function* cutsOf(scores: Float64Array, isPositive: Uint8Array): Generator<Cut> {
  const order = Uint32Array.from(scores, (_, i) => i).sort((a, b) => scores[b]! - scores[a]!);
  let truePositives = 0;
  for (let i = 0; i < order.length; i++) {
    const [row, next] = [order[i]!, order[i + 1]];
    truePositives += isPositive[row]!;
    const score = scores[row]!;
    if (next === undefined || scores[next] !== score) yield { score, predicted: i + 1, truePositives };
  }
}

/**
 * Average precision Σ (Rₖ − Rₖ₋₁) Pₖ over the cuts, with recall R and precision P at each, as scikit-learn's
 * average_precision_score: the mean over positives of the precision at their rank, equal scores sharing the last rank.
 * @param scores higher means more likely positive; [M]
 * @param isPositive 1 or 0; [M]
 * @returns 0 … 1; null if nothing is positive
 */
export function averagePrecision(scores: Float64Array, isPositive: Uint8Array): number | null {
  let [total, found] = [0, 0];
  for (const { predicted, truePositives } of cutsOf(scores, isPositive)) {
    total += ((truePositives - found) * truePositives) / predicted;
    found = truePositives;
  }
  return ratio(total, found);
}

/** The threshold of a label that has no rows to choose one by. */
export const DEFAULT_THRESHOLD = 0.5;

/**
 * The threshold on probabilities with the largest F1 = 2 TP / (predicted + positive): half way between the last score
 * that it lets through and the next one. In a tie, the highest.
 * @param scores probabilities; [M]
 * @param isPositive 1 or 0; [M]
 * @returns 0 … 1; {@link DEFAULT_THRESHOLD} if nothing is positive
 */
export function bestThreshold(scores: Float64Array, isPositive: Uint8Array): number {
  const positives = isPositive.reduce((total, value) => total + value, 0);
  const cuts = [...cutsOf(scores, isPositive)];
  let [best, threshold] = [0, DEFAULT_THRESHOLD];
  cuts.forEach(({ score, predicted, truePositives }, k) => {
    const f1 = (2 * truePositives) / (predicted + positives);
    if (f1 > best) [best, threshold] = [f1, (score + (cuts[k + 1]?.score ?? 0)) / 2];
  });
  return threshold;
}

/** The 97.5 % point of the normal distribution. */
const Z = 1.959963984540054;

/**
 * The 95 % confidence interval of a proportion (Wilson 1927, "Probable inference, the law of succession, and statistical
 * inference"). Unlike ± 2 standard errors, it never leaves 0 … 1, and is not a point if all or none are right.
 * @param successes 0 … trials
 * @returns [lower, upper]; null if there were no trials
 */
export function wilsonInterval(successes: number, trials: number): [number, number] | null {
  if (trials === 0) return null;
  const p = successes / trials;
  const centre = p + Z ** 2 / (2 * trials);
  const half = Z * Math.sqrt((p * (1 - p)) / trials + Z ** 2 / (4 * trials ** 2));
  const shrink = 1 + Z ** 2 / trials;
  return [Math.max(0, (centre - half) / shrink), Math.min(1, (centre + half) / shrink)];
}

/** The probability of at least so many wins if wins and losses are equally likely: Σₖ C(n, k) / 2ⁿ over k = wins … n. */
export function signTest(wins: number, losses: number): number {
  const n = wins + losses;
  let [term, total] = [-n * Math.LN2, 0];
  // From k = n down, as log C(n, k).
  for (let k = n; k >= wins; k--) {
    total += Math.exp(term);
    term += Math.log(k) - Math.log(n - k + 1);
  }
  return Math.min(1, total);
}
