import type { Backbone } from '../backbone/backbone.js';
import { type BackboneRunner, BackbonePool } from '../backbone/pool.js';
import type { Dataset, DatasetEntry, Split } from '../data/dataset.js';
import { joinPixels } from '../image/decode.js';
import { fingerprintOf } from '../image/fingerprint.js';
import type { View } from '../image/views.js';
import { type EmbeddingRow, type KnownRow, rowOf, type RowStore, type RowSubject } from '../store/row.js';
import { abortable } from '../util/async.js';
import { checkInteger } from '../util/validate.js';
import { type Picture, plan } from './diff.js';
import {
  type Decoded,
  type Outcome,
  PictureReader,
  type Prepared,
  type ReaderOptions,
  type Settled,
} from './reader.js';

/** On the processor, larger batches are no faster, take more memory, and leave threads without work at the end. */
const DEFAULT_BATCH_SIZE = { processor: 8, otherDevice: 32 };
export const DEFAULT_CONCURRENCY = 32;

export interface PassOptions {
  backbone: Backbone;
  /** The backbone's threads, where they are to serve further passes; the caller closes them. By default the pass has its own. */
  pool?: BackboneRunner | undefined;
  /** Pictures that go through the backbone together, in each of its threads. Default: 8 on the processor, else 32. */
  batchSize?: number | undefined;
  /** Pictures that are read and decoded at the same time. Default: 32. */
  concurrency?: number | undefined;
  /** Of a data set with splits, only this one; the pictures of one without splits are taken for it. */
  split?: Split | undefined;
  /** Breaks off; what is embedded by then is kept, and another run goes on from there. */
  signal?: AbortSignal | undefined;
}

export interface PassCallbacks<Row> {
  /** The further views to see to, of those pictures that take any. */
  views: readonly View[];
  isAugmented: (entry: DatasetEntry) => boolean;
  /** Called once for each picture. */
  onOutcome: (outcome: Outcome | 'unchanged') => void;
  /**
   * Called with the rows that stay as they are, of pictures of which no view is missing; all others are put into the table.
   * Without it, the table is taken to keep its rows.
   */
  onUnchanged?: ((row: Row) => void) | undefined;
}

/**
 * Sees to it that the table has the row of every picture of a data set, embedding only what it must.
 * @throws {UsageError} where an option is out of range
 * @throws the signal's reason, once it aborts
 */
export async function embedPictures<Row extends KnownRow>(
  table: RowStore<Row>,
  dataset: Dataset,
  {
    backbone,
    split,
    signal,
    views,
    isAugmented,
    onOutcome,
    onUnchanged,
    ...options
  }: PassOptions & PassCallbacks<Row>,
): Promise<void> {
  const { device = 'cpu' } = backbone.options;
  const defaultSize = DEFAULT_BATCH_SIZE[device === 'cpu' ? 'processor' : 'otherDevice'];
  const { batchSize = defaultSize, concurrency = DEFAULT_CONCURRENCY } = options;
  checkInteger('batchSize', batchSize, { min: 1 });
  checkInteger('concurrency', concurrency, { min: 1 });
  // It has no threads until it is used.
  const own = new BackbonePool(backbone);
  const { pool = own } = options;
  const embedder = new Embedder({
    backbone,
    pool,
    table,
    dataset: dataset.root,
    batchSize,
    concurrency,
    views,
    isAugmented,
    onOutcome,
    signal,
  });
  const viewsOf = (entry: DatasetEntry) => (isAugmented(entry) ? views : []);
  try {
    for await (const step of plan(entriesOf(dataset, split), table, dataset.root, viewsOf)) {
      signal?.throwIfAborted();
      if (step.kind === 'unchanged') {
        for (const row of step.rows) onUnchanged?.(row);
        onOutcome(step.rows[0].error === null ? 'unchanged' : 'failed');
      } else if (step.kind === 'relabel') await embedder.relabel(step.picture, step.sha256);
      else if (step.kind === 'read') {
        const { known, ...picture } = step.picture;
        await embedder.add(known && !onUnchanged ? { ...picture, known } : picture, step.sizeKnown);
      } else await embedder.fail(step.entry, step.error);
    }
    await embedder.finish();
  } finally {
    await embedder.stop();
    await own.close();
  }
}

/** The entries of a split; a data set without splits is taken whole and recorded under the given one. */
export async function* entriesOf(dataset: Dataset, split: Split | undefined): AsyncGenerator<DatasetEntry> {
  for await (const entry of dataset.entries()) {
    if (split === undefined || entry.split === split) yield entry;
    else if (entry.split === undefined) yield { ...entry, split };
  }
}

interface EmbedderOptions extends ReaderOptions {
  /** Where the backbone runs. */
  pool: BackboneRunner;
  batchSize: number;
  /** Called when a picture has its rows. */
  onOutcome: (outcome: Outcome) => void;
  /** Once it aborts, nothing that is being decoded is waited for. */
  signal: AbortSignal | undefined;
}

/**
 * Reads and decodes pictures ahead of the backbone, has the backbone run over whole batches and puts the rows into the table.
 * Pictures on hand are at most `concurrency` that are read or decoded, and two batches for each thread of the backbone: one
 * that it runs and one that it finds ready. Equal files are embedded once.
 */
class Embedder {
  private readonly reader: PictureReader;
  private readonly queue: Promise<Prepared>[] = [];
  private batch: Decoded[] = [];
  /** Whether what is queued is all that is left. */
  private isFinishing = false;
  /** Batches that the backbone has. */
  private readonly inFlight = new Set<Promise<void>>();
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
      // What the backbone has may be equal to pictures of which further views are wanted.
      else if (this.inFlight.size > 0) await Promise.race(this.inFlight);
      else return;
    }
  }

  /** Begins no more pictures, and waits for those that the backbone has. */
  async stop(): Promise<void> {
    this.reader.stop();
    await Promise.allSettled(this.inFlight);
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
    const { batchSize, pool } = this.options;
    if (!this.isFinishing || pool.size === 1) return batchSize;
    return Math.min(batchSize, Math.ceil((views + this.queue.length) / (2 * pool.size)));
  }

  /** Hands the batch to the backbone, once that has room for it. */
  private async startBatch(): Promise<void> {
    while (this.inFlight.size >= 2 * this.options.pool.size) await Promise.race(this.inFlight);
    const batch = this.batch;
    this.batch = [];
    const run = this.embed(batch, this.lastBatch).then(() => void this.inFlight.delete(run));
    // Whoever waits for the backbone handles its failure; until then it must not count as unhandled.
    this.lastBatch = run.catch(() => undefined);
    this.inFlight.add(run);
  }

  /** @param before after which rows are put: in the order of the pictures, whichever thread is done first */
  private async embed(batch: readonly Decoded[], before: Promise<void>): Promise<void> {
    const { backbone, pool } = this.options;
    const images = batch.flatMap(({ waiting }) => waiting.map(({ image }) => image));
    const embedding = await pool.run(joinPixels(images));
    await before;
    let at = 0;
    for (const { picture, sha256, known, waiting } of batch) {
      const embedded = waiting.map(({ view, image: { width, height, pixels } }) =>
        this.rowOf(picture, {
          sha256,
          view,
          width,
          height,
          fingerprint: view === 'center' ? fingerprintOf(pixels) : null,
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
    const isAugmented = this.options.isAugmented(entry);
    for (const row of rows) {
      const present = row.sha256 === known?.sha256 ? known.views : undefined;
      if (!present?.includes(row.view) && (isAugmented || row.view === 'center'))
        await this.options.table.put(this.copyOf(row, picture));
    }
    this.options.onOutcome(rows.some(({ error }) => error !== null) ? 'failed' : outcome);
  }

  private copyOf(known: EmbeddingRow, picture: Picture): EmbeddingRow {
    const { sha256, view, width, height, embedding, fingerprint, error } = known;
    return this.rowOf(picture, { sha256, view, width, height, embedding, fingerprint, error });
  }

  private rowOf(picture: RowSubject, found: Partial<EmbeddingRow>): EmbeddingRow {
    return rowOf(picture, this.options.dataset, this.options.backbone, found);
  }
}
