import { createHash } from 'node:crypto';
import { Semaphore } from 'async-mutex';
import pLimit from 'p-limit';
import { abortable } from '../abortable.js';
import type { Backbone, Trunk } from '../backbone/index.js';
import { messageOf } from '../errors.js';
import {
  decodeViews,
  joinPixels,
  lookOf,
  readPicture,
  type DatasetEntry,
  type DecodedImage,
  type View,
} from '../images/index.js';
import type { Picture } from './plan.js';
import { rowOf, type EmbeddingRow, type RowSubject } from './row.js';
import type { RowStore } from './table.js';

/** File sizes remembered since the store was last asked about them: far more than there are pictures under way. */
const RECENT_SIZES = 10_000;

/** Files that are read or decoded at the same time take at most 512 MiB, in shares of 8 MiB. */
const SHARE = 2 ** 23;
const SHARES = 64;

/** How a picture came by its row. */
export type Outcome = 'embedded' | 'reused' | 'failed';

/** A picture of which views wait for the trunk. */
interface Decoded {
  picture: Picture;
  sha256: string;
  /** Rows of views of this content that are known already. */
  known: EmbeddingRow[];
  waiting: { view: View; image: DecodedImage }[];
}

/** A picture that needs no trunk. */
interface Settled {
  picture: Picture;
  /** A row of each view that is known of the picture's content; or one with an error. */
  rows: EmbeddingRow[];
  outcome: Outcome;
}

/** Undefined where the same content is under way already, which then settles this picture too. */
type Prepared = Decoded | Settled | undefined;

export interface EmbedderOptions {
  backbone: Backbone;
  /** Where the backbone runs. */
  trunk: Trunk;
  table: RowStore;
  /** The data set's root, for the rows. */
  dataset: string;
  batchSize: number;
  /** Pictures that are read and decoded at the same time. */
  concurrency: number;
  /** The further views to embed, and of which pictures. */
  views: readonly View[];
  takesViews: (entry: DatasetEntry) => boolean;
  /** Called when a picture has its rows. */
  onOutcome: (outcome: Outcome) => void;
  /** Once it aborts, nothing that is being decoded is waited for. */
  signal: AbortSignal | undefined;
}

/**
 * Reads and decodes pictures ahead of the trunk, has the trunk run over whole batches and puts the rows into the table.
 * Pictures on hand are at most `concurrency` that are read or decoded, and two batches for each thread of the trunk: one
 * that it runs and one that it finds ready. Equal files are embedded once.
 */
export class Embedder {
  private readonly limit;
  private readonly inHand = new Semaphore(SHARES);
  private readonly queue: Promise<Prepared>[] = [];
  private batch: Decoded[] = [];
  /** Whether what is queued is all that is left. */
  private isFinishing = false;
  /** Batches that the trunk has. */
  private readonly inTrunk = new Set<Promise<void>>();
  /** The end of the batch that was started last. */
  private lastBatch = Promise.resolve();
  /** Contents that are under way, each with the further files that turned out to hold the same. */
  private readonly underWay = new Map<string, Picture[]>();
  private readonly recentSizes = new Set<number>();

  constructor(private readonly options: EmbedderOptions) {
    this.limit = pLimit(options.concurrency);
  }

  /** Takes a picture on; waits while enough are under way. @throws the signal's reason, once it aborts */
  async add(picture: Picture, sizeKnown: boolean): Promise<void> {
    await this.enqueue(() => this.prepare(picture, sizeKnown));
  }

  /** Gives a picture, under its new label or labels, split, group, weight or data set, the embedding that its content has in the store. */
  async relabel(picture: Picture, sha256: string): Promise<void> {
    await this.enqueue(async () => {
      const rows = await this.options.table.withContent(sha256);
      if (this.missing(picture, rows).length > 0) return this.prepare(picture, true);
      return { picture, rows, outcome: 'reused' };
    });
  }

  /** Notes a picture that cannot even be opened. */
  async fail(entry: DatasetEntry, error: string): Promise<void> {
    await this.options.table.put(this.rowOf({ entry, size: null, modified: null }, { error }));
    this.options.onOutcome('failed');
  }

  /** Waits until every picture has its row. @throws the signal's reason, once it aborts */
  async finish(): Promise<void> {
    this.isFinishing = true;
    for (;;) {
      this.options.signal?.throwIfAborted();
      if (this.queue.length > 0) await this.advance();
      else if (this.batch.length > 0) await this.startBatch();
      // What the trunk has may be equal to pictures of which further views are wanted.
      else if (this.inTrunk.size > 0) await Promise.race(this.inTrunk);
      else return;
    }
  }

  /** Begins no more pictures, and waits for those that the trunk has. */
  async stop(): Promise<void> {
    this.limit.clearQueue();
    await Promise.allSettled(this.inTrunk);
  }

  private async enqueue(prepare: () => Promise<Prepared>): Promise<void> {
    this.push(prepare);
    if (this.queue.length > this.options.concurrency) await this.advance();
  }

  private push(prepare: () => Promise<Prepared>): void {
    const prepared = this.limit(prepare);
    // Whoever takes it from the queue handles its failure; until then it must not count as unhandled.
    prepared.catch(() => undefined);
    this.queue.push(prepared);
  }

  private async advance(): Promise<void> {
    const next = this.queue.shift();
    const prepared = next && (await abortable(next, this.options.signal));
    if (!prepared) return;
    if ('rows' in prepared) {
      await this.settle(prepared);
    } else {
      this.batch.push(prepared);
      const views = this.batch.reduce((count, { waiting }) => count + waiting.length, 0);
      if (views >= this.batchSize(views)) await this.startBatch();
    }
  }

  /** Batches get smaller towards the end, so that no thread has nothing to do while another has a whole batch. */
  private batchSize(views: number): number {
    const { batchSize, trunk } = this.options;
    if (!this.isFinishing || trunk.size === 1) return batchSize;
    return Math.min(batchSize, Math.ceil((views + this.queue.length) / (2 * trunk.size)));
  }

  /** Reads and hashes a picture, and decodes the views that are not known of its content, when the memory has room for it. */
  private prepare(picture: Picture, sizeKnown: boolean): Promise<Prepared> {
    const shares = Math.min(Math.max(Math.ceil((picture.size ?? 0) / SHARE), 1), SHARES);
    return this.inHand.runExclusive(() => this.readAndDecode(picture, sizeKnown), shares);
  }

  private async readAndDecode(listed: Picture, sizeKnown: boolean): Promise<Prepared> {
    let picture = listed;
    const failed = (found: Partial<EmbeddingRow>): Settled => ({
      ...{ picture, rows: [this.rowOf(picture, found)], outcome: 'failed' },
    });
    let bytes: Uint8Array;
    try {
      const read = await readPicture(listed.entry);
      bytes = read.bytes;
      picture = { ...listed, ...read.state };
    } catch (error) {
      return failed({ error: messageOf(error) });
    }
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const equals = this.underWay.get(sha256);
    if (equals) {
      equals.push(picture);
      return undefined;
    }
    this.underWay.set(sha256, []);
    const mayBeKnown = sizeKnown || this.recentSizes.has(bytes.length);
    const known = mayBeKnown ? await this.options.table.withContent(sha256) : [];
    const missing = this.missing(picture, known);
    if (missing.length === 0) return { picture, rows: known, outcome: 'reused' };
    this.rememberSize(bytes.length);
    try {
      const images = await decodeViews(bytes, this.options.backbone.transform, missing);
      const waiting = images.flatMap((image, i) => {
        const view = missing[i];
        return view ? [{ view, image }] : [];
      });
      return { picture, sha256, known, waiting };
    } catch (error) {
      return failed({ sha256, error: messageOf(error) });
    }
  }

  /** Hands the batch to the trunk, once that has room for it. */
  private async startBatch(): Promise<void> {
    while (this.inTrunk.size >= 2 * this.options.trunk.size) await Promise.race(this.inTrunk);
    const batch = this.batch;
    this.batch = [];
    const run = this.embed(batch, this.lastBatch).then(() => void this.inTrunk.delete(run));
    // Whoever waits for the trunk handles its failure; until then it must not count as unhandled.
    this.lastBatch = run.catch(() => undefined);
    this.inTrunk.add(run);
  }

  /** @param before after which rows are put: in the order of the pictures, whichever thread is done first */
  private async embed(batch: readonly Decoded[], before: Promise<void>): Promise<void> {
    const { backbone, trunk } = this.options;
    const images = batch.flatMap(({ waiting }) => waiting.map(({ image }) => image));
    const embedding = await trunk.run(joinPixels(images));
    await before;
    let at = 0;
    for (const { picture, sha256, known, waiting } of batch) {
      const embedded = waiting.map(({ view, image: { width, height, pixels } }) =>
        this.rowOf(picture, {
          ...{ sha256, view, width, height },
          look: view === 'center' ? lookOf(pixels) : null,
          embedding: embedding.slice(at * backbone.width, ++at * backbone.width),
        }),
      );
      await this.settle({ picture, rows: [...known, ...embedded], outcome: 'embedded' });
    }
  }

  /** Puts the rows of a content that was under way, and those of the other files that hold the same. */
  private async settle({ picture, rows, outcome }: Settled): Promise<void> {
    await this.putCopies(picture, rows, outcome);
    const sha256 = rows[0]?.sha256 ?? null;
    if (sha256 === null) return;
    const equals = this.underWay.get(sha256) ?? [];
    this.underWay.delete(sha256);
    for (const equal of equals) {
      // Of a training picture, more views may be wanted than of one to validate by.
      if (this.missing(equal, rows).length > 0) this.push(() => this.prepare(equal, true));
      else await this.putCopies(equal, rows, 'reused');
    }
  }

  private async putCopies(picture: Picture, rows: readonly EmbeddingRow[], outcome: Outcome): Promise<void> {
    const { entry, known } = picture;
    const takesViews = this.options.takesViews(entry);
    for (const row of rows) {
      const present = row.sha256 === known?.sha256 ? known.views : undefined;
      if (!present?.includes(row.view) && (takesViews || row.view === 'center'))
        await this.options.table.put(this.copyOf(row, picture));
    }
    this.options.onOutcome(rows.some(({ error }) => error !== null) ? 'failed' : outcome);
  }

  /** The views that a picture should have and that are not among the rows of its content. */
  private missing({ entry }: Picture, rows: readonly EmbeddingRow[]): View[] {
    // Where not even the center could be decoded, nothing can be.
    if (rows.some(({ error }) => error !== null)) return [];
    const wanted: View[] = ['center', ...(this.options.takesViews(entry) ? this.options.views : [])];
    return wanted.filter((name) => rows.every(({ view }) => view !== name));
  }

  private copyOf(known: EmbeddingRow, picture: Picture): EmbeddingRow {
    const { sha256, view, width, height, embedding, look, error } = known;
    return this.rowOf(picture, { sha256, view, width, height, embedding, look, error });
  }

  private rowOf(picture: RowSubject, found: Partial<EmbeddingRow>): EmbeddingRow {
    return rowOf(picture, this.options.dataset, this.options.backbone, found);
  }

  private rememberSize(size: number): void {
    this.recentSizes.add(size);
    if (this.recentSizes.size <= RECENT_SIZES) return;
    const [oldest] = this.recentSizes;
    if (oldest !== undefined) this.recentSizes.delete(oldest);
  }
}
