import { setTimeout as delay } from 'node:timers/promises';

/**
 * Waits for something that cannot be broken off, such as a decoder, but no longer than until the signal aborts.
 * @throws the signal's reason, once it aborts
 */
export async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  let stop = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      reject(signal.reason as Error);
    };
  });
  if (signal.aborted) stop();
  else signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

interface RetryOptions {
  /** How often it is tried in all. */
  tries: number;
  /** Milliseconds until the next try, after so many; undefined where the error will not pass. */
  waitAfter: (error: unknown, tried: number) => number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Does again what failed for a reason that may pass.
 * @throws what the last try threw; the signal's reason, wrapped as Node does, once it aborts while this waits
 */
export async function retry<T>(
  work: () => Promise<T>,
  { tries, waitAfter, signal }: RetryOptions,
): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await work();
    } catch (error) {
      const wait = tried < tries ? waitAfter(error, tried) : undefined;
      if (wait === undefined) throw error;
      await delay(wait, undefined, { signal });
    }
  }
}

/** A wait that doubles with each try, by chance shorter or longer, so that those who met do not meet again. */
export function doubled(firstMs: number, tried: number, longestMs: number): number {
  return Math.min(longestMs, firstMs * 2 ** tried) * (0.5 + Math.random());
}
