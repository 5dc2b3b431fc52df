import type { DatasetEntry } from '../data/dataset.js';
import { readPicture } from '../data/read.js';
import { abortable } from '../util/async.js';
import { messageOf } from '../util/errors.js';
import { decodeImage, joinPixels } from './decode.js';
import type { Transform } from './transform.js';

/** Pictures that are ready for a backbone. */
interface PictureBatch {
  entries: DatasetEntry[];
  /** RGB bytes [entries, crop, crop, 3] */
  pixels: Uint8Array;
}

interface BatchOptions {
  transform: Transform;
  /** Pictures in a batch. */
  size: number;
  /** Told of each picture that cannot be read, which is then in no batch. */
  onUnreadable?: ((entry: DatasetEntry, reason: string) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Decodes pictures batch by batch; the next one is being decoded while the caller is at work on one, and no more than
 * these two are held.
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
    // Whoever awaits it handles its failure; until then it must not count as unhandled.
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
