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

/**
 * Works on several items at the same time.
 * @param ahead items that may be under way, and wait to be taken, at the same time; one more is asked for
 * @returns the results in the order of the items, each as soon as it is there, even while the source has no next item yet
 * @throws what the source or the work throws
 */
export async function* mapAhead<T, R>(
  source: Iterable<T> | AsyncIterable<T>,
  ahead: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const items = iteratorOf(source);
  const underWay: Promise<R>[] = [];
  let next: Promise<IteratorResult<T>> | undefined = awaitedLater(items.next());
  try {
    for (;;) {
      const oldest = underWay[0];
      if (next && underWay.length < ahead) {
        const arrived: IteratorResult<T> | undefined = await (oldest
          ? Promise.race([next, oldest.then(() => undefined)])
          : next);
        if (arrived) {
          if (!arrived.done) underWay.push(awaitedLater(work(arrived.value)));
          next = arrived.done ? undefined : awaitedLater(items.next());
          continue;
        }
      }
      if (!oldest) return;
      const result = await oldest;
      void underWay.shift();
      yield result;
    }
  } finally {
    end(items);
  }
}

/**
 * Puts items together.
 * @param isFull whether a batch takes no more
 * @param idleMs a batch that is not full waits so long for the next item
 * @throws what the source throws
 */
export async function* batchesOf<T>(
  source: AsyncIterable<T>,
  isFull: (batch: readonly T[]) => boolean,
  idleMs: number,
): AsyncGenerator<T[]> {
  const items = iteratorOf(source);
  let batch: T[] = [];
  try {
    for (;;) {
      const next = awaitedLater(items.next());
      let arrived = batch.length > 0 ? await within(idleMs, next) : await next;
      if (!arrived) {
        yield batch;
        batch = [];
        arrived = await next;
      }
      if (arrived.done) break;
      batch.push(arrived.value);
      if (!isFull(batch)) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  } finally {
    end(items);
  }
}

function iteratorOf<T>(source: Iterable<T> | AsyncIterable<T>): AsyncIterator<T> {
  if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
  const items = source[Symbol.iterator]();
  return {
    next: () => Promise.resolve(items.next()),
    return: () => Promise.resolve(items.return?.() ?? { done: true, value: undefined }),
  };
}

/** Tells a source that no more is asked for. Not waited for, as it may be waiting itself. */
function end(items: AsyncIterator<unknown>): void {
  void items.return?.().catch(() => undefined);
}

/** Whoever awaits it handles its failure; until then it must not count as unhandled. */
function awaitedLater<T>(work: Promise<T>): Promise<T> {
  work.catch(() => undefined);
  return work;
}

/** The result of work, undefined if it takes longer. */
async function within<T>(ms: number, work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => {
      resolve(undefined);
    }, ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
