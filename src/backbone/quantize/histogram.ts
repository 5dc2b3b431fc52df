import { LastlayerError } from '../../errors.js';

/** Bins on both sides of zero together: some 16 to 32 for each of the 256 levels that a value will have. */
const BINS = 2 ** 14;

/**
 * Counts values in equal bins over [−limit, limit), whose limit doubles, each two bins becoming one, whenever a value
 * lies beyond it. So one pass over values of any range will do, memory stays what it is, and the order of the values
 * makes no difference.
 */
export class Histogram {
  private readonly counts = new Float64Array(BINS);
  /** A power of two, so that doubling is exact. */
  private limit = 2 ** -20;
  private lowest = Infinity;
  private highest = -Infinity;

  /** The smallest value; Infinity where there was none. */
  get min(): number {
    return this.lowest;
  }

  /** The largest value; −Infinity where there was none. */
  get max(): number {
    return this.highest;
  }

  /** Counts the values. @throws {LastlayerError} where one is NaN or infinite */
  add(values: Float32Array): void {
    const [min, max] = extremesOf(values);
    this.lowest = Math.min(this.lowest, min);
    this.highest = Math.max(this.highest, max);
    while (min < -this.limit || max >= this.limit) this.double();
    const { counts, limit } = this;
    const perUnit = BINS / 2 / limit;
    // An index loop, as hundreds of millions of values pass here; | 0 rounds down what is not negative.
    for (let i = 0; i < values.length; i++) {
      const bin = (((values[i] ?? 0) + limit) * perUnit) | 0;
      counts[bin] = (counts[bin] ?? 0) + 1;
    }
  }

  /** The bins that hold anything, in ascending order: the middle of each and how many values it has. */
  *bins(): Generator<{ value: number; count: number }> {
    const width = (2 * this.limit) / BINS;
    for (const [i, count] of this.counts.entries()) {
      if (count > 0) yield { value: (i + 0.5) * width - this.limit, count };
    }
  }

  private double(): void {
    const wider = new Float64Array(BINS);
    this.counts.forEach((count, i) => {
      const bin = BINS / 4 + (i >> 1);
      wider[bin] = (wider[bin] ?? 0) + count;
    });
    this.counts.set(wider);
    this.limit *= 2;
  }
}

function extremesOf(values: Float32Array): [min: number, max: number] {
  let [min, max, sum] = [Infinity, -Infinity, 0];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    sum += value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  // One value that is not finite makes the sum so; nothing else can, as float32 is summed in float64.
  if (!Number.isFinite(sum)) {
    throw new LastlayerError('The network gives values that are not finite: its weights are damaged.');
  }
  return [min, max];
}
