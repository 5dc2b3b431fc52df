import type { LogitRow, Task } from './task.js';

/** T lies between these. */
const [SMALLEST, LARGEST] = [0.05, 20];

/** Relative precision of T. */
const PRECISION = 1e-6;

/** Least gain in the sum of log losses, in nats: Akaike's price of one parameter. */
const LEAST_GAIN = 1;

/**
 * The temperature T that minimises the weighted log loss of softmax(z / T), or of σ(z / T) for all labels together (Guo
 * et al. 2017, "On Calibration of Modern Neural Networks", section 4.2), on rows that the head was not trained on. The
 * loss is convex in β = 1 / T, so false position on log β finds the root of its slope (the Illinois algorithm, Dowell and
 * Jarratt 1971). One imaginary row is added for which every answer is equally likely: without it, T would be 0 if all rows
 * were right, and every answer certain.
 *
 * T stays 1 unless it lowers the sum of the rows' log losses by more than 1: anything that gains less per parameter is
 * expected to lose on new rows (Akaike 1974, "A New Look at the Statistical Model Identification").
 * @param count N
 * @returns T, 0.05 … 20; 1 if there are no rows
 */
export function fitTemperature(
  task: Pick<Task, 'addTemperatureTerms'>,
  rows: readonly (LogitRow & { weight: number })[],
  count: number,
): number {
  if (rows.length === 0) return 1;
  const smoothing = 1 / (rows.length + 1);
  let weights = 0;
  for (const { weight } of rows) weights += weight;
  const at = (beta: number) => {
    const sum = { loss: 0, slope: 0 };
    for (const row of rows) task.addTemperatureTerms(sum, row, count, row.weight, beta, smoothing);
    return sum;
  };

  const slopeAt = (logBeta: number) => ({ logBeta, slope: at(Math.exp(logBeta)).slope });
  let [end, last] = [slopeAt(Math.log(1 / LARGEST)), slopeAt(Math.log(1 / SMALLEST))];
  let step = end.slope < 0 && last.slope > 0 ? Infinity : 0;
  if (end.slope >= 0) last = end;
  while (Math.abs(step) > PRECISION) {
    step = (last.slope / (last.slope - end.slope)) * (end.logBeta - last.logBeta);
    const next = slopeAt(last.logBeta + step);
    end = next.slope * last.slope < 0 ? last : { ...end, slope: end.slope / 2 };
    last = next;
  }
  const beta = Math.exp(last.logBeta);
  const gain = (at(1).loss - at(beta).loss) / (weights / rows.length);
  return gain > LEAST_GAIN ? 1 / beta : 1;
}
