import { messageOf } from '../errors.js';
import { doubled, retry } from '../retry.js';

/** Lance itself tries a few times; with many writers that may not be enough. Together these take about a minute. */
const TRIES = 10;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;

/** How Lance says that somebody else was faster: "Retryable commit conflict", "Too many concurrent writers", … */
const CONFLICT = /conflict|concurrent (?:writers|transaction)|write contention/i;

/** Whether a change to a table failed because somebody else has changed it meanwhile. */
export function isConflict(error: unknown): boolean {
  return CONFLICT.test(messageOf(error));
}

/**
 * Does a change to a table again where somebody else has changed the table meanwhile.
 * @throws what the change throws, where that is something else or it was tried often enough
 */
export async function retryConflicts<T>(change: () => Promise<T>): Promise<T> {
  return retry(change, {
    tries: TRIES,
    waitAfter: (error, tried) =>
      isConflict(error) ? doubled(FIRST_WAIT_MS, tried, LONGEST_WAIT_MS) : undefined,
  });
}
