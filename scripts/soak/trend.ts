import { meanOf, median } from '../support/statistics.js';

/** Memory of the process at one time. */
export interface MemorySample {
  /** Seconds since the work began. */
  second: number;
  /** Bytes, from `process.memoryUsage`. */
  rss: number;
  heapUsed: number;
  external: number;
}

export interface Trend {
  /** MiB: the medians of the first and the last third of the samples, and the maximum. */
  first: number;
  last: number;
  peak: number;
  /** last / first − 1 */
  growth: number;
  /** MiB per hour, by least squares. */
  slope: number;
}

/** The trend of one figure. */
export function trendOf(samples: readonly MemorySample[], figure: 'rss' | 'heapUsed'): Trend {
  const values = samples.map((sample) => sample[figure] / 2 ** 20);
  const third = Math.floor(values.length / 3);
  const first = median(values.slice(0, third));
  const last = median(values.slice(-third));
  const hours = samples.map(({ second }) => second / 3600);
  return {
    first: rounded(first),
    last: rounded(last),
    peak: rounded(Math.max(...values)),
    growth: Math.round(1000 * (last / first - 1)) / 1000,
    slope: rounded(slopeOf(hours, values)),
  };
}

function slopeOf(x: readonly number[], y: readonly number[]): number {
  const [meanX, meanY] = [meanOf(x), meanOf(y)];
  const products = x.map((value, i) => (value - meanX) * (y[i]! - meanY));
  const squares = x.map((value) => (value - meanX) ** 2);
  return meanOf(products) / meanOf(squares);
}

function rounded(value: number): number {
  return Math.round(10 * value) / 10;
}
