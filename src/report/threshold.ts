import { count, htmlPercent as percent } from '../util/format.js';

/** Steps of the threshold from 0 to 1. */
export const STEPS = 200;

/** Margins of the figure, between which the script moves the line of the threshold. */
export const MARGINS = { left: 40, right: 20 };

/** What the head decides at each threshold of certainty, k / {@link STEPS}; [STEPS + 1] each. */
export interface Thresholds {
  total: number;
  /** Pictures that reach the threshold, and how many of them are right. */
  decided: readonly number[];
  right: readonly number[];
}

/** What a threshold means, in words. This runs in the browser, too. */
export function describeThreshold({ total, decided, right }: Thresholds, step: number): string {
  const [reached, good] = [decided[step] ?? 0, right[step] ?? 0];
  const left = total - reached;
  const pictures = total === 1 ? 'picture' : 'pictures';
  const precision =
    reached === 0 ? 'It decides none' : `It decides ${count(reached)}, and ${percent(good / reached)} of them right`;
  return (
    `At ${percent(step / STEPS)}, the head leaves ${count(left)} of ${count(total)} ${pictures} (${percent(left / total)}) to a ` +
    `person. ${precision}, which is ${percent(good / total)} of all.`
  );
}
