/** What the process held at a time. */
export interface MemorySample {
  /** Seconds since the work began. */
  second: number;
  /** Bytes, as `process.memoryUsage` has them. */
  rss: number;
  heapUsed: number;
  external: number;
}

export interface Trend {
  /** Medians of the first and the last third of the samples, and the largest of all, in MiB. */
  first: number;
  last: number;
  peak: number;
  /** By how much of the first the last is larger. */
  growth: number;
  /** MiB an hour, by least squares. */
  slope: number;
}

/** How one figure went. */
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
  const [meanX, meanY] = [mean(x), mean(y)];
  const products = x.map((value, i) => (value - meanX) * ((y[i] ?? NaN) - meanY));
  const squares = x.map((value) => (value - meanX) ** 2);
  return mean(products) / mean(squares);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

function rounded(value: number): number {
  return Math.round(10 * value) / 10;
}
