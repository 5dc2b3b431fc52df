import { Semaphore } from 'async-mutex';
import pLimit from 'p-limit';
import type { Backbone } from '../backbone/backbone.js';
import type { DatasetEntry } from '../data/dataset.js';
import { readPicture } from '../data/read.js';
import { type DecodedImage, decodeViews } from '../image/decode.js';
import type { View } from '../image/views.js';
import { type EmbeddingRow, rowOf, type RowStore } from '../store/row.js';
import { messageOf } from '../util/errors.js';
import { sha256Of } from '../util/hash.js';
import type { Picture } from './diff.js';

/** File sizes remembered since the store was last asked about them: far more than there are pictures under way. */
const RECENT_SIZES = 10_000;

/** Files that are read or decoded at the same time take at most 512 MiB, in shares of 8 MiB. */
const SHARE = 2 ** 23;
const SHARES = 64;

/** How a picture came by its row. */
export type Outcome = 'embedded' | 'reused' | 'failed';

/** A picture of which views wait for the backbone. */
export interface Decoded {
  picture: Picture;
  sha256: string;
  /** Rows of views of this content that are known already. */
  known: EmbeddingRow[];
  waiting: { view: View; image: DecodedImage }[];
}

/** A picture that needs no backbone. */
export interface Settled {
  picture: Picture;
  /** A row of each view that is known of the picture's content; or one with an error. */
  rows: EmbeddingRow[];
  outcome: Outcome;
}

/** Undefined where the same content is under way already, which then settles this picture too. */
export type Prepared = Decoded | Settled | undefined;

export interface ReaderOptions {
  backbone: Backbone;
  /** Where contents are looked up. */
  table: RowStore;
  /** The data set's root, for the rows. */
  dataset: string;
  /** Pictures that are read and decoded at the same time. */
  concurrency: number;
  /** The further views to embed, and of which pictures. */
  views: readonly View[];
  isAugmented: (entry: DatasetEntry) => boolean;
}

/** Reads, hashes and decodes pictures within bounds of memory, each content once. */
export class PictureReader {
  private readonly limit;
  private readonly inHand = new Semaphore(SHARES);
  /** Contents that are under way, each with the further files that turned out to hold the same. */
  private readonly underWay = new Map<string, Picture[]>();
  private readonly recentSizes = new Set<number>();

  constructor(private readonly options: ReaderOptions) {
    this.limit = pLimit(options.concurrency);
  }

  /** Reads and hashes a picture, and decodes the views that are not known of its content, when there is room for it. */
  prepare(picture: Picture, sizeKnown: boolean): Promise<Prepared> {
    return this.limit(() => this.readWithinBounds(picture, sizeKnown));
  }

  /** Takes what is known of a content for a picture's, without reading it; reads it where a view is missing. */
  relabel(picture: Picture, sha256: string): Promise<Prepared> {
    return this.limit(async () => {
      const rows = await this.options.table.withContent(sha256);
      if (this.missing(picture, rows).length > 0) return this.readWithinBounds(picture, true);
      return { picture, rows, outcome: 'reused' };
    });
  }

  /** The further files that turned out to hold a content, which is not under way any more. */
  equalsOf(sha256: string): Picture[] {
    const equals = this.underWay.get(sha256) ?? [];
    this.underWay.delete(sha256);
    return equals;
  }

  /** The views that a picture should have and that are not among the rows of its content. */
  missing({ entry }: Picture, rows: readonly EmbeddingRow[]): View[] {
    // Where not even the center could be decoded, nothing can be.
    if (rows.some(({ error }) => error !== null)) return [];
    const wanted: View[] = ['center', ...(this.options.isAugmented(entry) ? this.options.views : [])];
    return wanted.filter((name) => rows.every(({ view }) => view !== name));
  }

  /** Begins no more pictures. */
  stop(): void {
    this.limit.clearQueue();
  }

  private readWithinBounds(picture: Picture, sizeKnown: boolean): Promise<Prepared> {
    const shares = Math.min(Math.max(Math.ceil((picture.size ?? 0) / SHARE), 1), SHARES);
    return this.inHand.runExclusive(() => this.readAndDecode(picture, sizeKnown), shares);
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
    const sha256 = sha256Of(bytes);
    const equals = this.underWay.get(sha256);
    if (equals) {
      equals.push(picture);
      return undefined;
    }
    this.underWay.set(sha256, []);
    const mayBeKnown = sizeKnown || this.recentSizes.has(bytes.length);
    const known = mayBeKnown ? await table.withContent(sha256) : [];
    const missing = this.missing(picture, known);
    if (missing.length === 0) return { picture, rows: known, outcome: 'reused' };
    this.rememberSize(bytes.length);
    try {
      const images = await decodeViews(bytes, backbone.transform, missing);
      const waiting = images.flatMap((image, i) => {
        const view = missing[i];
        return view ? [{ view, image }] : [];
      });
      return { picture, sha256, known, waiting };
    } catch (error) {
      return failed({ sha256, error: messageOf(error) });
    }
  }

  private rememberSize(size: number): void {
    this.recentSizes.add(size);
    if (this.recentSizes.size <= RECENT_SIZES) return;
    const [oldest] = this.recentSizes;
    if (oldest !== undefined) this.recentSizes.delete(oldest);
  }
}

/**
 * Looks rows up by the digest of their picture. Digests that are asked for while a query runs go into the next one
 * together, since a query for a hundred takes little longer than one for a single digest.
 */
export class ContentLookup {
  private waiting: string[] = [];
  private next: Promise<Map<string, EmbeddingRow[]>> | undefined;
  private running: Promise<unknown> = Promise.resolve();

  constructor(private readonly find: (digests: readonly string[]) => Promise<EmbeddingRow[]>) {}

  async get(sha256: string): Promise<EmbeddingRow[]> {
    this.waiting.push(sha256);
    this.next ??= this.runNext(this.running);
    return (await this.next).get(sha256) ?? [];
  }

  private async runNext(earlier: Promise<unknown>): Promise<Map<string, EmbeddingRow[]>> {
    // Whoever asked for it learns of an earlier query's failure.
    await earlier.catch(() => undefined);
    const digests = this.waiting;
    this.waiting = [];
    this.next = undefined;
    const found = this.find(digests);
    this.running = found;
    const rows = new Map<string, EmbeddingRow[]>();
    for (const row of await found) {
      const ofPicture = rows.get(row.sha256 ?? '');
      if (ofPicture) ofPicture.push(row);
      else rows.set(row.sha256 ?? '', [row]);
    }
    return rows;
  }
}
