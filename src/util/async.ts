import { setTimeout as delay } from 'node:timers/promises';

/**
 * Waits for work that cannot be interrupted, such as a decoder, but only until the signal aborts.
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
  /** The most tries, the first one included. */
  tries: number;
  /** Milliseconds to wait after so many failed tries; undefined if trying again is no use. */
  waitAfter: (error: unknown, tried: number) => number | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Runs work again when it fails for a reason that may pass.
 * @throws what the last try threw; an AbortError, once the signal aborts during a wait
 */
export async function retry<T>(work: () => Promise<T>, { tries, waitAfter, signal }: RetryOptions): Promise<T> {
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

/** Milliseconds to wait: doubles with each try, and varies at random so that competing processes do not meet again. */
export function backoff(firstMs: number, tried: number, longestMs: number): number {
  return Math.min(longestMs, firstMs * 2 ** tried) * (0.5 + Math.random());
}
