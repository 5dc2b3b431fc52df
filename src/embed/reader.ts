import { Semaphore } from 'async-mutex';
import pLimit from 'p-limit';
import type { Backbone } from '../backbone/backbone.js';
import type { DatasetEntry } from '../data/dataset.js';
import { readPicture } from '../data/read.js';
import { type DecodedSquare, decodeSquares } from '../image/decode.js';
import type { View } from '../image/views.js';
import { type EmbeddingRow, rowOf, type RowStore } from '../store/row.js';
import { messageOf } from '../util/errors.js';
import { sha256OfFile } from '../util/hash.js';
import type { Picture } from './diff.js';

const SHARE = 2 ** 23;
const SHARES = 64;

/** Has files that are being read or decoded take at most 512 MiB, in shares of 8 MiB. */
export class FileMemory {
  private readonly shares = new Semaphore(SHARES);

  /** Runs work once there is memory for its file. @param size in bytes */
  run<T>(size: number, work: () => Promise<T>): Promise<T> {
    return this.shares.runExclusive(work, Math.min(Math.max(Math.ceil(size / SHARE), 1), SHARES));
  }
}

/** File sizes to remember since the store was last asked: far more than there are pictures under way. */
const RECENT_SIZES = 10_000;

/** How a picture came by its row. */
export type Outcome = 'embedded' | 'reused' | 'failed';

/** A picture with views for the backbone. */
export interface Decoded {
  picture: Picture;
  sha256: string;
  /** Rows of the views of this content that are known already. */
  known: EmbeddingRow[];
  waiting: { view: View; image: DecodedSquare }[];
}

/** A picture that needs no backbone. */
export interface Settled {
  picture: Picture;
  /** One of each known view of the picture's content; or one with an error. */
  rows: EmbeddingRow[];
  outcome: Outcome;
}

/** Undefined if the same content is under way already, which then settles this picture too. */
export type Prepared = Decoded | Settled | undefined;

export interface ReaderOptions {
  backbone: Backbone;
  /** Where contents are looked up. */
  table: RowStore;
  /** The data set's root. */
  dataset: string;
  /** Pictures that are read and decoded at the same time. */
  concurrency: number;
  /** The augmented views to embed. */
  views: readonly View[];
  /** Of which pictures to embed them. */
  isAugmented: (entry: DatasetEntry) => boolean;
}

/** Reads, hashes and decodes pictures within a memory budget, each content once. */
export class PictureReader {
  private readonly limit;
  private readonly memory = new FileMemory();
  /** Contents that are under way, each with the other files that turned out to hold the same. */
  private readonly underWay = new Map<string, Picture[]>();
  private readonly recentSizes = new Set<number>();

  constructor(private readonly options: ReaderOptions) {
    this.limit = pLimit(options.concurrency);
  }

  /** Reads and hashes a picture, and decodes the views that are not known of its content. */
  prepare(picture: Picture, sizeKnown: boolean): Promise<Prepared> {
    return this.limit(() => this.readWithinBudget(picture, sizeKnown));
  }

  /** Takes what is known of a picture's content, without reading it; reads it if a view is missing. */
  relabel(picture: Picture, sha256: string): Promise<Prepared> {
    return this.limit(async () => {
      const rows = await this.options.table.withContent(sha256);
      if (this.missing(picture, rows).length > 0) return this.readWithinBudget(picture, true);
      return { picture, rows, outcome: 'reused' };
    });
  }

  /** Ends a content, and returns the other files that turned out to hold it. */
  takeCopies(sha256: string): Picture[] {
    const copies = this.underWay.get(sha256) ?? [];
    this.underWay.delete(sha256);
    return copies;
  }

  /** The views that a picture should have, and that are not among the rows of its content. */
  missing({ entry }: Picture, rows: readonly EmbeddingRow[]): View[] {
    // If the center could not be decoded, no view can.
    if (rows.some(({ error }) => error !== null)) return [];
    const wanted: View[] = ['center', ...(this.options.isAugmented(entry) ? this.options.views : [])];
    return wanted.filter((name) => rows.every(({ view }) => view !== name));
  }

  /** Begins no more pictures. */
  stop(): void {
    this.limit.clearQueue();
  }

  private readWithinBudget(picture: Picture, sizeKnown: boolean): Promise<Prepared> {
    return this.memory.run(picture.size ?? 0, () => this.readAndDecode(picture, sizeKnown));
  }

  private async readAndDecode(listed: Picture, sizeKnown: boolean): Promise<Prepared> {
    const { backbone, dataset, table } = this.options;
    let picture = listed;
    const failed = (found: Partial<EmbeddingRow>): Settled => ({
      picture,
      rows: [rowOf(picture, dataset, backbone, found)],
      outcome: 'failed',
    });
    let bytes: Uint8Array;
    try {
      const read = await readPicture(listed.entry);
      bytes = read.bytes;
      picture = { ...listed, ...read.state };
    } catch (error) {
      return failed({ error: messageOf(error) });
    }
    const sha256 = await sha256OfFile(bytes);
    const copies = this.underWay.get(sha256);
    if (copies) {
      copies.push(picture);
      return undefined;
    }
    this.underWay.set(sha256, []);
    const mayBeKnown = sizeKnown || this.recentSizes.has(bytes.length);
    const known = mayBeKnown ? await table.withContent(sha256) : [];
    const missing = this.missing(picture, known);
    if (missing.length === 0) return { picture, rows: known, outcome: 'reused' };
    this.rememberSize(bytes.length);
    try {
      const images = await decodeSquares(bytes, backbone.transform, missing);
      const waiting = images.map((image, i) => ({ view: missing[i]!, image }));
      return { picture, sha256, known, waiting };
    } catch (error) {
      return failed({ sha256, error: messageOf(error) });
    }
  }

  private rememberSize(size: number): void {
    this.recentSizes.add(size);
    const [oldest] = this.recentSizes;
    if (this.recentSizes.size > RECENT_SIZES) this.recentSizes.delete(oldest!);
  }
}
