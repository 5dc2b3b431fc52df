import { mkdir, opendir, readFile, rm, stat, utimes } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import pLimit from 'p-limit';
import { thumbnailOfBytes } from '../image/thumbnail.js';
import { writeWholeFile } from '../util/files.js';

/** The longer side, in pixels. */
const SIDE = 256;
const QUALITY = 75;

/** Bytes of all thumbnails on disk; of a picture, some 8 KiB. */
const MOST_BYTES = 2 ** 29;

/** What is left when old ones are removed. */
const KEPT = 0.8;

/** Thumbnails in a folder, by the digests of their pictures, made when they are first asked for. */
export class ThumbnailCache {
  private readonly limit = pLimit({ concurrency: Math.max(2, availableParallelism()), rejectOnClear: true });
  private readonly making = new Map<string, Promise<Buffer>>();
  /** Bytes on disk; undefined until they are counted. */
  private bytes: number | undefined;
  private pruning: Promise<void> | undefined;

  /** @param most bytes on disk; the thumbnails that were not used for the longest time are removed first */
  constructor(
    private readonly folder: string,
    private readonly most = MOST_BYTES,
  ) {}

  /**
   * @param digest sha256 of the picture
   * @param read gives the picture's bytes
   * @returns WebP
   * @throws what reading or decoding it throws
   */
  async get(digest: string, read: () => Promise<Uint8Array>): Promise<Buffer> {
    const path = join(this.folder, digest.slice(0, 2), `${digest}-${SIDE}.webp`);
    const known = await readFile(path).catch(() => undefined);
    if (known) {
      const now = new Date();
      utimes(path, now, now).catch(() => undefined);
      return known;
    }
    const made = this.making.get(digest) ?? this.limit(() => this.make(path, read));
    this.making.set(digest, made);
    return made.finally(() => this.making.delete(digest));
  }

  private async make(path: string, read: () => Promise<Uint8Array>): Promise<Buffer> {
    const webp = await thumbnailOfBytes(await read(), SIDE, QUALITY);
    // A full disk makes it slower, and nothing else.
    await mkdir(dirname(path), { recursive: true })
      .then(() => writeWholeFile(path, webp))
      .then(() => {
        this.grown(webp.length);
      })
      .catch(() => undefined);
    return webp;
  }

  private grown(by: number): void {
    if (this.bytes !== undefined) this.bytes += by;
    if (this.bytes !== undefined && this.bytes <= this.most) return;
    this.pruning ??= this.prune().finally(() => (this.pruning = undefined));
  }

  /** Counts what is there, and removes the oldest if it is too much. */
  private async prune(): Promise<void> {
    const found: { path: string; size: number; used: number }[] = [];
    for await (const entry of await opendir(this.folder, { recursive: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      const file = await stat(path).catch(() => undefined);
      if (file) found.push({ path, size: file.size, used: file.mtimeMs });
    }
    let bytes = found.reduce((sum, { size }) => sum + size, 0);
    if (bytes > this.most) {
      found.sort((a, b) => a.used - b.used);
      for (const { path, size } of found) {
        if (bytes <= KEPT * this.most) break;
        await rm(path, { force: true });
        bytes -= size;
      }
    }
    this.bytes = bytes;
  }

  /** Waits for what is under way. What waits for its turn is rejected. */
  async close(): Promise<void> {
    this.limit.clearQueue();
    await Promise.allSettled([...this.making.values()]);
    await this.pruning;
  }
}
