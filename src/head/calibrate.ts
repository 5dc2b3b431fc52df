import type { LogitRow, Task } from './task.js';

/** T lies between these. */
const [SMALLEST, LARGEST] = [0.05, 20];

/** How far from log T = 0 the root is looked for first. */
const FIRST_STEP = 0.25;

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
  const at = (logBeta: number) => {
    const sum = { loss: 0, slope: 0 };
    for (const row of rows) task.addTemperatureTerms(sum, row, count, row.weight, Math.exp(logBeta), smoothing);
    return { logBeta, ...sum };
  };

  const uncalibrated = at(0);
  const bound = -Math.log(uncalibrated.slope > 0 ? LARGEST : SMALLEST);
  let [end, last] = [uncalibrated, uncalibrated];
  // From T = 1 on, until the root lies between two points.
  for (let width = FIRST_STEP; end.slope * last.slope > 0 && last.logBeta !== bound; width *= 2) {
    end = last;
    last = at(Math.sign(bound) * Math.min(Math.abs(bound), Math.abs(last.logBeta) + width));
  }
  let step = end.slope * last.slope < 0 ? Infinity : 0;
  while (Math.abs(step) > PRECISION) {
    step = (last.slope / (last.slope - end.slope)) * (end.logBeta - last.logBeta);
    const next = at(last.logBeta + step);
    end = next.slope * last.slope < 0 ? last : { ...end, slope: end.slope / 2 };
    last = next;
  }
  const gain = (uncalibrated.loss - last.loss) / (weights / rows.length);
  return gain > LEAST_GAIN ? Math.exp(-last.logBeta) : 1;
}
