import { LastlayerError, messageOf } from '../errors.js';
import { plainReason } from './object-store-error.js';

/**
 * Has LanceDB do something, and tells what went wrong as one reads it.
 * @param location of the store
 * @throws {LastlayerError} where it fails
 */
export async function inStore<T>(location: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storeError(location, error);
  }
}

/** As {@link inStore}, of what gives blocks one by one. */
export async function* blocksInStore<T>(location: string, blocks: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = blocks[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await inStore(location, () => iterator.next());
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}

function storeError(location: string, error: unknown): LastlayerError {
  return new LastlayerError(
    `The store ${location} cannot be read or written: ${reasonOf(error)}. Once that is put right, the same command goes on ` +
      `from what is there.`,
  );
}

/** LanceDB tells each error with those that caused it, the last of which says why, and with places in its own source. */
export function reasonOf(error: unknown): string {
  const message = messageOf(error);
  const reasons = message.split(/\s*Caused by: /).map((reason) =>
    reason
      .replaceAll(/,? ?\S*\.rs:\d+:\d+/g, '')
      .replace(/^LanceError\(\w+\): /, '')
      .trim(),
  );
  const last = reasons.findLast((reason) => reason !== '') ?? 'unknown reason';
  return plainReason(message, last) ?? last;
}
