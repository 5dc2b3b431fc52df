import pLimit from 'p-limit';
import { abortable } from '../abortable.js';
import { decodeImage, IMAGENET_TRANSFORM, lookOf, readPictureFile, type Look } from '../images/index.js';
import type { Pictures } from './pictures.js';

const CONCURRENCY = 16;

export interface LookOptions {
  /** Open the pictures whose look is not in the store. */
  open: boolean;
  signal?: AbortSignal;
  onProgress?: (done: number, total: number) => void;
}

/**
 * What the pictures look like: as the store has it, else from the files.
 * @returns one for each row; undefined where the picture is not opened, or the file is gone or cannot be read any more
 * @throws the signal's reason, once it aborts
 */
export async function looksOf(
  rows: Pictures['rows'],
  { open, signal, onProgress }: LookOptions,
): Promise<(Look | undefined)[]> {
  const total = rows.filter(({ look }) => !look).length;
  const limit = pLimit(CONCURRENCY);
  let done = 0;
  const looks = Promise.all(
    rows.map(async ({ look, path }) =>
      look || !open
        ? look
        : limit(async () => {
            signal?.throwIfAborted();
            const found = await lookAt(path).catch(() => undefined);
            onProgress?.(++done, total);
            return found;
          }),
    ),
  );
  return abortable(looks, signal);
}

async function lookAt(path: string): Promise<Look> {
  const { pixels } = await decodeImage(await readPictureFile(path), IMAGENET_TRANSFORM);
  return lookOf(pixels);
}
