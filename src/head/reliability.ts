const BINS = 15;

/** Examples whose top probability is in (from, to]. */
export interface ReliabilityBin {
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
export class Reliability {
  private readonly counts = new Float64Array(BINS);
  private readonly right = new Float64Array(BINS);
  private readonly confidence = new Float64Array(BINS);

  /** @param probability of the predicted class, 0 … 1 */
  add(probability: number, isRight: boolean): void {
    const bin = Math.min(BINS - 1, Math.max(0, Math.ceil(probability * BINS) - 1));
    this.counts[bin] = (this.counts[bin] ?? 0) + 1;
    this.confidence[bin] = (this.confidence[bin] ?? 0) + probability;
    if (isRight) this.right[bin] = (this.right[bin] ?? 0) + 1;
  }

  result(): Calibration {
    const total = this.counts.reduce((sum, n) => sum + n, 0);
    let gaps = 0;
    const bins = Array.from(this.counts, (count, i) => {
      const [right, confidence] = [this.right[i] ?? 0, this.confidence[i] ?? 0];
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
