import { Matrix } from 'ml-matrix';
import { UsageError } from '../errors.js';
import { Reliability, type Calibration } from './reliability.js';
import { wilsonInterval } from './wilson.js';

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
    { topK = 5 }: { topK?: number } = {},
  ) {
    if (!Number.isInteger(topK) || topK < 1) {
      throw new UsageError(`topK is ${topK}; it must be a whole number of 1 or more.`);
    }
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

function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}

function mean(values: readonly number[]): number | null {
  return ratio(sum(values), values.length);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
