import { setImmediate } from 'node:timers/promises';
import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { quantile } from '../util/math.js';
import { signTest } from './metrics.js';

const RESAMPLES = 2_000;
const SEED = 1;

/**
 * McNemar's exact test (McNemar 1947, "Note on the sampling error of the difference between correlated proportions"): the
 * probability of at least so uneven a count if either of two heads were as likely to be the one that is right. Pictures that
 * both get right, or both wrong, say nothing.
 * @param fixed pictures that only the second head gets right
 * @param broken pictures that only the first one gets right
 * @returns the two-sided p-value; 1 if there are neither
 */
export function mcnemarTest(fixed: number, broken: number): number {
  return Math.min(1, 2 * signTest(Math.max(fixed, broken), Math.min(fixed, broken)));
}

/**
 * The 95 % percentile intervals of the means of columns by the bootstrap (Efron 1979): the rows are drawn again, with
 * replacement, 2000 times, and each draw gives all columns, so that what is paired stays paired. The same values give the same
 * intervals.
 * @param columns of equally many values each
 * @returns [low, high] of each column; null if there are no rows, or they are all alike, so that drawing them again says nothing
 * @throws the signal's reason, once it aborts
 */
export async function bootstrapIntervals(
  columns: readonly Float64Array[],
  signal?: AbortSignal,
): Promise<([number, number] | null)[]> {
  const rows = columns[0]?.length ?? 0;
  const generator = xoroshiro128plus(SEED);
  const means = columns.map(() => new Float64Array(RESAMPLES));
  for (let k = 0; k < RESAMPLES; k++) {
    // Of a million pictures, this takes a while.
    if (k % 16 === 0) await setImmediate();
    signal?.throwIfAborted();
    for (let i = 0; i < rows; i++) {
      const row = Math.floor(rows * uniformFloat32(generator));
      for (let c = 0; c < columns.length; c++) means[c]![k]! += columns[c]![row]! / rows;
    }
  }
  return columns.map((column, c) => {
    if (column.every((value) => value === column[0])) return null;
    const sorted = means[c]!.sort();
    return [quantile(sorted, 0.025), quantile(sorted, 0.975)];
  });
}
