import pLimit from 'p-limit';
import { thumbnailOf } from '../image/thumbnail.js';
import { abortable } from '../util/async.js';

/** Longer side, in pixels; about 3 KB each. */
const SIDE = 128;
const QUALITY = 55;
const CONCURRENCY = 8;

/** The pictures that a report shows, each once. */
export class Thumbnails {
  private readonly uris = new Map<string, string>();

  /** Makes thumbnails of pictures that have none yet. @throws the signal's reason, once it aborts */
  async add(paths: Iterable<string>, signal?: AbortSignal, onDone?: (done: number, total: number) => void) {
    const wanted = [...new Set(paths)].filter((path) => !this.uris.has(path));
    const limit = pLimit(CONCURRENCY);
    let done = 0;
    const made = Promise.all(
      wanted.map((path) =>
        limit(async () => {
          signal?.throwIfAborted();
          const uri = await thumbnail(path).catch(() => undefined);
          if (uri !== undefined) this.uris.set(path, uri);
          onDone?.(++done, wanted.length);
        }),
      ),
    );
    await abortable(made, signal);
  }

  /** A data URI; empty where the file is gone or cannot be read any more. */
  of(path: string): string {
    return this.uris.get(path) ?? '';
  }

  get size(): number {
    return this.uris.size;
  }
}

async function thumbnail(path: string): Promise<string> {
  const webp = await thumbnailOf(path, SIDE, QUALITY);
  return `data:image/webp;base64,${webp.toString('base64')}`;
}
