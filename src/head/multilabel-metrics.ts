import type { ClassMetrics } from './metrics.js';
import { averagePrecision } from './ranking.js';
import { Reliability, type Calibration } from './reliability.js';

/** Probabilities are clipped to at least this far from 0 and 1 in the log loss, as for classes. */
const SMALLEST_PROBABILITY = Number.EPSILON;

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
      const p = probabilities[n] ?? 0;
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
        Float64Array.from(this.probabilities, (row) => row[n] ?? 0),
        Uint8Array.from(this.truths, (truth) => (truth.includes(n) ? 1 : 0)),
      ),
      support,
    };
  }
}

function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}

function mean(values: readonly number[]): number | null {
  return ratio(
    values.reduce((sum, value) => sum + value, 0),
    values.length,
  );
}
