import type { DatasetEntry } from '../data/dataset.js';
import { readPicture } from '../data/read.js';
import { abortable } from '../util/async.js';
import { messageOf } from '../util/errors.js';
import { decodeImage, joinPixels } from './decode.js';
import type { Transform } from './transform.js';

interface PictureBatch {
  entries: DatasetEntry[];
  /** RGB bytes [entries, crop, crop, 3] */
  pixels: Uint8Array;
}

interface BatchOptions {
  transform: Transform;
  /** Pictures in a batch. */
  size: number;
  /** Called for each picture that cannot be read; its batch goes without it. */
  onUnreadable?: ((entry: DatasetEntry, reason: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Decodes pictures in batches for a backbone. While the caller works on one batch, the next is decoded; no more than these two are
 * in memory.
 * @throws the signal's reason, once it aborts
 */
export async function* pictureBatches(
  entries: readonly DatasetEntry[],
  options: BatchOptions,
): AsyncGenerator<PictureBatch> {
  const { size, signal } = options;
  let next = decodeBatch(entries.slice(0, size), options);
  for (let start = 0; start < entries.length; start += size) {
    signal?.throwIfAborted();
    const batch = await abortable(next, signal);
    next = decodeBatch(entries.slice(start + size, start + 2 * size), options);
    // A failure is handled when it is awaited; until then it must not count as unhandled.
    next.catch(() => undefined);
    if (batch.entries.length > 0) yield batch;
  }
}

async function decodeBatch(
  entries: readonly DatasetEntry[],
  { transform, onUnreadable }: BatchOptions,
): Promise<PictureBatch> {
  const decoded = await Promise.all(
    entries.map(async (entry) => {
      try {
        const { bytes } = await readPicture(entry);
        return { entry, image: await decodeImage(bytes, transform) };
      } catch (error) {
        onUnreadable?.(entry, messageOf(error));
        return undefined;
      }
    }),
  );
  const readable = decoded.filter((picture) => picture !== undefined);
  return {
    entries: readable.map(({ entry }) => entry),
    pixels: joinPixels(readable.map(({ image }) => image)),
  };
}
