import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../errors.js';

/** Lance itself tries a few times; with many writers that may not be enough. Together these take about a minute. */
const TRIES = 10;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;

/** How Lance says that somebody else was faster: "Retryable commit conflict", "Too many concurrent writers", … */
const CONFLICT = /conflict|concurrent writers|write contention/i;

/**
 * Does a change to a table again where somebody else has changed the table meanwhile, after waits that double, by chance shorter
 * or longer, so that those who met do not meet again.
 * @throws what the change throws, where that is something else or it was tried often enough
 */
export async function retryConflicts<T>(change: () => Promise<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await change();
    } catch (error) {
      if (tried === TRIES || !CONFLICT.test(messageOf(error))) throw error;
      await delay(Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** tried) * (0.5 + Math.random()));
    }
  }
}
