import { Matrix } from 'ml-matrix';
import { checkInteger } from '../util/validate.js';
import { mean, ratio, sum } from '../util/math.js';

/** Probabilities are clipped to at least this in the log loss, as scikit-learn does for float64: one sure mistake costs 36 nats. */
const SMALLEST_PROBABILITY = Number.EPSILON;

/** How well one class is told from the others. TP, FP, FN: true positives, false positives, false negatives. */
export interface ClassMetrics {
  label: string;
  /** TP / (TP + FP); null where nothing was predicted to be of the class. */
  precision: number | null;
  /** TP / (TP + FN); null where no example is of the class. */
  recall: number | null;
  /** 2 TP / (2 TP + FP + FN), the harmonic mean of both; null where the class occurs on neither side. */
  f1: number | null;
  /** Examples of the class: TP + FN. */
  support: number;
}

/** Figures over all examples that were added; null where there were none. */
export interface EvaluationResult {
  /** Examples of known classes: all figures but `unknown` are about these. */
  count: number;
  accuracy: number | null;
  /** Its 95 % confidence interval, by Wilson. */
  accuracyInterval: [number, number] | null;
  /** The mean of recall over the classes that have examples, in which a rare class counts as much as a frequent one. */
  balancedAccuracy: number | null;
  /** The part of the examples whose true class is among the k most probable. */
  topK: { k: number; accuracy: number | null };
  /** −1/M Σ log p(true class), in nats, with p clipped to [2⁻⁵², 1]. */
  logLoss: number | null;
  /** Whether probabilities mean what they say. */
  calibration: Calibration;
  /** [N, N]: entry (i, j) counts the examples of class i that were taken for class j. */
  confusion: Matrix;
  perClass: ClassMetrics[];
  /** The mean of f1 over the classes where it is defined. */
  macroF1: number | null;
  /** Examples whose true label the head does not know, by label: no head can be right on them. */
  unknown: { label: string; count: number }[];
}

/** Collects examples one by one and says how good the predictions are; memory does not grow with their number. */
export class Evaluation {
  private readonly confusion: Matrix;
  private readonly unknown = new Map<string, number>();
  private count = 0;
  private amongTopK = 0;
  private lossSum = 0;
  private readonly reliability = new Reliability();
  private readonly k: number;

  /**
   * @param labels the classes' names, in the order of the probabilities
   * @param options.topK k of the top-k accuracy, default 5; at most the number of classes is used
   * @throws {UsageError} where topK is no whole number ≥ 1
   */
  constructor(
    private readonly labels: readonly string[],
    { topK = 5 }: { topK?: number | undefined } = {},
  ) {
    checkInteger('topK', topK, { min: 1 });
    this.k = Math.min(topK, labels.length);
    this.confusion = Matrix.zeros(labels.length, labels.length);
  }

  /**
   * Adds one example. Of equally probable classes the first one counts as predicted.
   * @param trueClass index of its true class, 0 … N − 1
   * @param probabilities of each class; [N]
   * @throws {RangeError} where there is no such class, or not one probability a class
   */
  add(trueClass: number, probabilities: ArrayLike<number>): void {
    const ofTrueClass = probabilities[trueClass];
    if (ofTrueClass === undefined || probabilities.length !== this.labels.length) {
      throw new RangeError(
        `Class ${trueClass} with ${probabilities.length} probabilities, of ${this.labels.length} classes.`,
      );
    }
    // Plain loops: of a thousand classes, a million examples may be judged.
    let [rank, predicted, top] = [0, 0, -Infinity];
    for (let n = 0; n < probabilities.length; n++) {
      const value = probabilities[n] ?? 0;
      if (value > ofTrueClass || (value === ofTrueClass && n < trueClass)) rank++;
      if (value > top) [predicted, top] = [n, value];
    }
    this.confusion.set(trueClass, predicted, this.confusion.get(trueClass, predicted) + 1);
    this.count++;
    if (rank < this.k) this.amongTopK++;
    this.lossSum -= Math.log(Math.max(ofTrueClass, SMALLEST_PROBABILITY));
    this.reliability.add(top, predicted === trueClass);
  }

  /** Counts an example whose true label is none of the head's. */
  addUnknown(label: string): void {
    this.unknown.set(label, (this.unknown.get(label) ?? 0) + 1);
  }

  /** The figures of all that was added so far. */
  result(): EvaluationResult {
    const perClass = this.labels.map((label, n) => classMetrics(label, n, this.confusion));
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

function classMetrics(label: string, n: number, confusion: Matrix): ClassMetrics {
  const truePositives = confusion.get(n, n);
  const support = sum(confusion.getRow(n));
  const predicted = sum(confusion.getColumn(n));
  return {
    label,
    precision: ratio(truePositives, predicted),
    recall: ratio(truePositives, support),
    f1: ratio(2 * truePositives, predicted + support),
    support,
  };
}

/** How well one label is told, at its threshold and, by average precision, without one. */
export interface LabelMetrics extends ClassMetrics {
  /** See `averagePrecision`; null where no example has the label. */
  averagePrecision: number | null;
}

/** Figures over all examples that were added; null where there were none to go by. */
export interface MultilabelResult {
  count: number;
  /** mAP: the mean of average precision over the labels that some example has. */
  meanAveragePrecision: number | null;
  /** The mean of F1 over the labels where it is defined. */
  macroF1: number | null;
  /** F1 of all decisions together. */
  microF1: number | null;
  /** The part of the examples of which every label is right. */
  subsetAccuracy: number | null;
  /** The mean over examples of the sum over labels of −log p(what is true of the label), in nats, with p clipped to [2⁻⁵², 1]. */
  logLoss: number | null;
  /** How far the probabilities of labels are from how often these are there, over all labels of all examples. */
  calibration: Calibration;
  perLabel: LabelMetrics[];
  /** Labels of examples that the head does not know, and how many have them; no figure is about these. */
  unknown: { label: string; count: number }[];
}

/** Collects examples with any number of labels; keeps their probabilities, which average precision needs in order. */
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
   * @param truth places of the labels that it has
   * @param probabilities of each label; [N]; kept, so not to be changed afterwards
   * @param thresholds from which on each is given; [N]
   * @throws {RangeError} where there is not one probability a label
   */
  add(truth: readonly number[], probabilities: Float64Array, thresholds: readonly number[]): void {
    if (probabilities.length !== this.labels.length) {
      throw new RangeError(`${probabilities.length} probabilities for ${this.labels.length} labels.`);
    }
    const has = new Set(truth);
    let isAllRight = true;
    for (const [n, tally] of this.tallies.entries()) {
      const p = probabilities[n]!;
      const [isTrue, isGiven] = [has.has(n), p >= (thresholds[n] ?? 1)];
      if (isTrue) tally.support++;
      if (isGiven) tally.predicted++;
      if (isTrue && isGiven) tally.truePositives++;
      if (isTrue !== isGiven) isAllRight = false;
      this.reliability.add(p, isTrue);
      this.lossSum -= Math.log(Math.max(isTrue ? p : 1 - p, SMALLEST_PROBABILITY));
    }
    if (isAllRight) this.allRight++;
    this.probabilities.push(probabilities);
    this.truths.push(truth);
  }

  /** Counts a label that the head does not know. */
  addUnknown(label: string): void {
    this.unknown.set(label, (this.unknown.get(label) ?? 0) + 1);
  }

  /** The figures of all that was added so far. */
  result(): MultilabelResult {
    const perLabel = this.labels.map((label, n) => this.ofLabel(label, n));
    const total = (key: 'truePositives' | 'predicted' | 'support') =>
      this.tallies.reduce((sum, tally) => sum + tally[key], 0);
    const count = this.truths.length;
    return {
      count,
      meanAveragePrecision: mean(perLabel.flatMap((each) => each.averagePrecision ?? [])),
      macroF1: mean(perLabel.flatMap(({ f1 }) => f1 ?? [])),
      microF1: ratio(2 * total('truePositives'), total('predicted') + total('support')),
      subsetAccuracy: ratio(this.allRight, count),
      logLoss: ratio(this.lossSum, count),
      calibration: this.reliability.result(),
      perLabel,
      unknown: [...this.unknown].map(([label, times]) => ({ label, count: times })),
    };
  }

  private ofLabel(label: string, n: number): LabelMetrics {
    const { truePositives = 0, predicted = 0, support = 0 } = this.tallies[n] ?? {};
    return {
      label,
      precision: ratio(truePositives, predicted),
      recall: ratio(truePositives, support),
      f1: ratio(2 * truePositives, predicted + support),
      averagePrecision: averagePrecision(
        Float64Array.from(this.probabilities, (row) => row[n]!),
        Uint8Array.from(this.truths, (truth) => (truth.includes(n) ? 1 : 0)),
      ),
      support,
    };
  }
}

const BINS = 15;

/** Examples whose top probability is in (from, to]. */
interface ReliabilityBin {
  from: number;
  to: number;
  count: number;
  /** Their mean top probability; null where there are none. */
  confidence: number | null;
  /** The part of them that was right; null where there are none. */
  accuracy: number | null;
}

/** How far the probability of the predicted class is from how often it is right. */
export interface Calibration {
  /**
   * The expected calibration error: Σ over bins of |accuracy − confidence| · count / M, over 15 bins of equal width
   * (Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3); null where there were no examples.
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
    const total = this.counts.reduce((sum, n) => sum + n, 0);
    let gaps = 0;
    const bins = Array.from(this.counts, (count, i) => {
      const [right, confidence] = [this.right[i]!, this.confidence[i]!];
      gaps += Math.abs(right - confidence);
      const share = (value: number) => (count === 0 ? null : value / count);
      return {
        from: i / BINS,
        to: (i + 1) / BINS,
        count,
        confidence: share(confidence),
        accuracy: share(right),
      };
    });
    return { ece: total === 0 ? null : gaps / total, bins };
  }
}

/** What a threshold at some score lets through. */
interface Cut {
  /** The lowest score that is let through. */
  score: number;
  /** Rows at or above it, and how many of them are positive. */
  predicted: number;
  truePositives: number;
}

/** The cuts at each distinct score, the highest first: rows of equal scores are let through together. */
function* cutsOf(scores: Float64Array, isPositive: Uint8Array): Generator<Cut> {
  const order = Uint32Array.from(scores, (_, i) => i).sort((a, b) => scores[b]! - scores[a]!);
  let truePositives = 0;
  for (let i = 0; i < order.length; i++) {
    const [row = 0, next] = [order[i], order[i + 1]];
    truePositives += isPositive[row]!;
    const score = scores[row]!;
    if (next === undefined || scores[next] !== score) yield { score, predicted: i + 1, truePositives };
  }
}

/**
 * Average precision Σ (Rₖ − Rₖ₋₁) Pₖ over the cuts, with recall R and precision P at each: the mean over positives of the
 * precision at their rank, equal scores sharing the last rank. As scikit-learn's average_precision_score.
 * @param scores higher for what is likelier positive; [M]
 * @param isPositive 1 or 0; [M]
 * @returns 0 … 1; null where nothing is positive
 */
export function averagePrecision(scores: Float64Array, isPositive: Uint8Array): number | null {
  let [sum, found] = [0, 0];
  for (const { predicted, truePositives } of cutsOf(scores, isPositive)) {
    sum += ((truePositives - found) * truePositives) / predicted;
    found = truePositives;
  }
  return found === 0 ? null : sum / found;
}

/** Where there is nothing to choose a threshold by. */
export const DEFAULT_THRESHOLD = 0.5;

/**
 * The threshold on probabilities with the largest F1 = 2 TP / (predicted + positive), half way between the last score that
 * it lets through and the next one; of equals, the highest.
 * @param scores probabilities; [M]
 * @param isPositive 1 or 0; [M]
 * @returns 0 … 1; {@link DEFAULT_THRESHOLD} where nothing is positive
 */
export function bestThreshold(scores: Float64Array, isPositive: Uint8Array): number {
  const positives = isPositive.reduce((sum, value) => sum + value, 0);
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
 * The 95 % confidence interval of a share (Wilson 1927, "Probable inference, the law of succession, and statistical
 * inference"): unlike ± 2 standard errors it never leaves 0 … 1 and is no point where all or none are right.
 * @param successes 0 … trials
 * @returns [lower, upper]; null where there were no trials
 */
export function wilsonInterval(successes: number, trials: number): [number, number] | null {
  if (trials === 0) return null;
  const share = successes / trials;
  const centre = share + Z ** 2 / (2 * trials);
  const half = Z * Math.sqrt((share * (1 - share)) / trials + Z ** 2 / (4 * trials ** 2));
  const shrink = 1 + Z ** 2 / trials;
  return [Math.max(0, (centre - half) / shrink), Math.min(1, (centre + half) / shrink)];
}
