import { abortable } from '../abortable.js';
import type { Trunk } from '../backbone/index.js';
import { joinPixels, lookOf, type DatasetEntry } from '../images/index.js';
import {
  PictureReader,
  type Decoded,
  type Outcome,
  type Prepared,
  type ReaderOptions,
  type Settled,
} from './picture-reader.js';
import type { Picture } from './plan.js';
import { rowOf, type EmbeddingRow, type RowSubject } from './row.js';

export interface EmbedderOptions extends ReaderOptions {
  /** Where the backbone runs. */
  trunk: Trunk;
  batchSize: number;
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
  private readonly reader: PictureReader;
  private readonly queue: Promise<Prepared>[] = [];
  private batch: Decoded[] = [];
  /** Whether what is queued is all that is left. */
  private isFinishing = false;
  /** Batches that the trunk has. */
  private readonly inTrunk = new Set<Promise<void>>();
  /** The end of the batch that was started last. */
  private lastBatch = Promise.resolve();

  constructor(private readonly options: EmbedderOptions) {
    this.reader = new PictureReader(options);
  }

  /** Takes a picture on; waits while enough are under way. @throws the signal's reason, once it aborts */
  async add(picture: Picture, sizeKnown: boolean): Promise<void> {
    await this.enqueue(this.reader.prepare(picture, sizeKnown));
  }

  /** Gives a picture, under its new label or labels, split, group, weight or data set, the embedding that its content has in the store. */
  async relabel(picture: Picture, sha256: string): Promise<void> {
    await this.enqueue(this.reader.relabel(picture, sha256));
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
    this.reader.stop();
    await Promise.allSettled(this.inTrunk);
  }

  private async enqueue(prepared: Promise<Prepared>): Promise<void> {
    this.push(prepared);
    if (this.queue.length > this.options.concurrency) await this.advance();
  }

  private push(prepared: Promise<Prepared>): void {
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
    for (const equal of this.reader.equalsOf(sha256)) {
      // Of a training picture, more views may be wanted than of one to validate by.
      if (this.reader.missing(equal, rows).length > 0) this.push(this.reader.prepare(equal, true));
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

  private copyOf(known: EmbeddingRow, picture: Picture): EmbeddingRow {
    const { sha256, view, width, height, embedding, look, error } = known;
    return this.rowOf(picture, { sha256, view, width, height, embedding, look, error });
  }

  private rowOf(picture: RowSubject, found: Partial<EmbeddingRow>): EmbeddingRow {
    return rowOf(picture, this.options.dataset, this.options.backbone, found);
  }
}
