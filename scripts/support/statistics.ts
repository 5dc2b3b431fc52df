import { sum } from '../../src/util/math.js';

/** The middle value, or the mean of the two in the middle; NaN of no values. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low = NaN, high = NaN] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return (low + high) / 2;
}

/** The mean; NaN of no values. */
export function meanOf(values: readonly number[]): number {
  return sum(values) / values.length;
}
