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

/** Two-sided 97.5 % points of Student's t by degrees of freedom, 1 … 30. */
const T = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/** The mean and its 95 % interval by Student's t, such as `12.3 ± 4.5`. */
export function meanWithInterval(values: readonly number[], digits: number): string {
  const centre = meanOf(values);
  const freedom = values.length - 1;
  if (freedom === 0) return centre.toFixed(digits);
  const variance = sum(values.map((value) => (value - centre) ** 2)) / freedom;
  const half = (T[freedom - 1] ?? 1.96) * Math.sqrt(variance / values.length);
  return `${centre.toFixed(digits)} ± ${half.toFixed(digits)}`;
}
