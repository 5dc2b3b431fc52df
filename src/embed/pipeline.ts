import { availableParallelism } from 'node:os';
import type { Backbone } from '../backbone/backbone.js';
import { BackbonePool, type PictureEmbedder } from '../backbone/pool.js';
import type { Dataset, DatasetEntry, Split } from '../data/dataset.js';
import type { View } from '../image/views.js';
import { type EmbeddingRow, type KnownRow, rowOf, type RowStore, type RowSubject } from '../store/row.js';
import { abortable } from '../util/async.js';
import { checkInteger } from '../util/validate.js';
import { diff, type Picture } from './diff.js';
import {
  type Decoded,
  type Outcome,
  PictureReader,
  type Prepared,
  type ReaderOptions,
  type Settled,
} from './reader.js';

/** On the CPU, larger batches are no faster, take more memory, and leave threads idle at the end. */
const DEFAULT_BATCH_SIZE = { cpu: 4, other: 32 };

/** Enough that no core waits for a slow disk, or for the one picture that takes long. */
export const DEFAULT_CONCURRENCY = Math.max(32, 2 * availableParallelism());

/** Pictures per batch, unless the caller says otherwise. */
export function defaultBatchSize({ options: { device = 'cpu' } }: Pick<Backbone, 'options'>): number {
  return DEFAULT_BATCH_SIZE[device === 'cpu' ? 'cpu' : 'other'];
}

export interface PipelineOptions {
  backbone: Backbone;
  /** Threads of the backbone to use. The caller closes them. @default threads of its own */
  pool?: PictureEmbedder | undefined;
  /** Pictures per batch, in each of the backbone's threads. @default 4 on the CPU, else 32 */
  batchSize?: number | undefined;
  /** Pictures that are read and decoded at the same time. @default 32, or two for each core if that is more */
  concurrency?: number | undefined;
  /** Only this split. Pictures of no split count as of this one. @default all pictures */
  split?: Split | undefined;
  /** Stops the work. What is embedded by then is kept, and another run goes on from there. */
  signal?: AbortSignal | undefined;
}

/** What the pipeline needs of a data set. */
export type Listing = Pick<Dataset, 'root' | 'entries'>;

/** Options of {@link embedPictures}. */
export type PictureOptions<Row> = PipelineOptions & {
  /** The augmented views to embed. */
  views: readonly View[];
  /** Of which pictures to embed them. */
  isAugmented: (entry: DatasetEntry) => boolean;
  /** Called once for each picture. */
  onOutcome: (outcome: Outcome | 'unchanged') => void;
} & (
    | {
        /** Put only the rows that the table lacks. */
        rows: 'new';
      }
    | {
        /**
         * Give all rows of all pictures, to a caller who does not keep them: those of pictures that lack no view to `onUnchanged`,
         * all others by putting them, including those that the table has.
         */
        rows: 'all';
        onUnchanged: (row: Row) => void;
      }
  );

/**
 * Puts the rows of a data set's pictures into the table, and runs the backbone only if it must.
 * @throws {UsageError} if an option is out of range
 * @throws the signal's reason, once it aborts
 */
export async function embedPictures<Row extends KnownRow>(
  table: RowStore<Row>,
  dataset: Listing,
  options: PictureOptions<Row>,
): Promise<void> {
  const { backbone, split, signal, views, isAugmented, onOutcome } = options;
  const { batchSize = defaultBatchSize(backbone), concurrency = DEFAULT_CONCURRENCY } = options;
  checkInteger('batchSize', batchSize, { min: 1 });
  checkInteger('concurrency', concurrency, { min: 1 });
  // It starts no threads until it is used.
  const own = new BackbonePool(backbone);
  const embedder = new Embedder({
    backbone,
    pool: options.pool ?? own,
    table,
    dataset: dataset.root,
    batchSize,
    concurrency,
    views,
    isAugmented,
    putsKnown: options.rows === 'all',
    onOutcome,
    signal,
  });
  const viewsOf = (entry: DatasetEntry) => (isAugmented(entry) ? views : []);
  try {
    for await (const step of diff(entriesOf(dataset, split), table, dataset.root, viewsOf)) {
      signal?.throwIfAborted();
      if (step.kind === 'unchanged') {
        if (options.rows === 'all') for (const row of step.rows) options.onUnchanged(row);
        onOutcome(step.rows[0].error === null ? 'unchanged' : 'failed');
      } else if (step.kind === 'relabel') await embedder.relabel(step.picture, step.sha256);
      else if (step.kind === 'read') await embedder.add(step.picture, step.sizeKnown);
      else await embedder.fail(step.entry, step.error);
    }
    await embedder.finish();
  } finally {
    await embedder.stop();
    await own.close();
  }
}

/** The entries of a split. Those without one are recorded under it. */
export async function* entriesOf(dataset: Listing, split: Split | undefined): AsyncGenerator<DatasetEntry> {
  for await (const entry of dataset.entries()) {
    if (split === undefined || entry.split === split) yield entry;
    else if (entry.split === undefined) yield { ...entry, split };
  }
}

/** Whether a head may be trained on a picture. Only then are augmented views of use. */
export function isTrainingPicture({ split }: DatasetEntry): boolean {
  return split === undefined || split === 'train';
}

interface EmbedderOptions extends ReaderOptions {
  pool: PictureEmbedder;
  batchSize: number;
  /** Also put rows that the table has, of pictures that lack a view. */
  putsKnown: boolean;
  /** Called when a picture has its rows. */
  onOutcome: (outcome: Outcome) => void;
  /** Once it aborts, pictures that are being decoded are not waited for. */
  signal: AbortSignal | undefined;
}

/**
 * Reads and decodes pictures ahead of the backbone, runs it over whole batches and puts the rows into the table. In memory are at
 * most `concurrency` pictures that are being read or decoded, and two batches for each thread of the backbone: one that it runs and
 * one that waits. Identical files are embedded once.
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

  /** Gives a picture that is listed differently the embeddings that its content has in the store. */
  async relabel(picture: Picture, sha256: string): Promise<void> {
    await this.enqueue(this.reader.relabel(picture, sha256));
  }

  /** Puts the row of a picture that cannot even be opened. */
  async fail(entry: DatasetEntry, error: string): Promise<void> {
    await this.options.table.put(this.rowOf({ entry, size: null, modified: null }, { error }));
    this.options.onOutcome('failed');
  }

  /** Waits until every picture has its rows. @throws the signal's reason, once it aborts */
  async finish(): Promise<void> {
    this.isFinishing = true;
    for (;;) {
      this.options.signal?.throwIfAborted();
      if (this.queue.length > 0) await this.advance();
      else if (this.batch.length > 0) await this.startBatch();
      // Copies of what the backbone has may come back to the queue, for more views.
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
    // `advance` handles its failure; until then it must not count as unhandled.
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

  /** Batches shrink towards the end, so that no thread is idle while another has a whole batch. */
  private batchSize(views: number): number {
    const { batchSize, pool } = this.options;
    if (!this.isFinishing || pool.size === 1) return batchSize;
    return Math.min(batchSize, Math.ceil((views + this.queue.length) / (2 * pool.size)));
  }

  /** Hands the batch to the backbone as soon as that has room for it. */
  private async startBatch(): Promise<void> {
    while (this.inFlight.size >= 2 * this.options.pool.size) await Promise.race(this.inFlight);
    const batch = this.batch;
    this.batch = [];
    const run = this.embed(batch, this.lastBatch).then(() => void this.inFlight.delete(run));
    // Those who wait for `inFlight` handle its failure; until then it must not count as unhandled.
    this.lastBatch = run.catch(() => undefined);
    this.inFlight.add(run);
  }

  /** @param before what to wait for before rows are put, so that they come in the order of the pictures */
  private async embed(batch: readonly Decoded[], before: Promise<void>): Promise<void> {
    const { backbone, pool } = this.options;
    const squares = batch.flatMap(({ waiting }) => waiting.map(({ image }) => image.square));
    const { embedding, fingerprints } = await pool.embed(squares);
    await before;
    let at = 0;
    for (const { picture, sha256, known, waiting } of batch) {
      const embedded = waiting.map(({ view, image: { width, height } }) =>
        this.rowOf(picture, {
          sha256,
          view,
          width,
          height,
          fingerprint: view === 'center' ? fingerprints[at]! : null,
          embedding: embedding.slice(at * backbone.width, ++at * backbone.width),
        }),
      );
      await this.settle({ picture, rows: [...known, ...embedded], outcome: 'embedded' });
    }
  }

  /** Puts the rows of a content, for its picture and for the other files that hold the same. */
  private async settle({ picture, rows, outcome }: Settled): Promise<void> {
    await this.putRows(picture, rows, outcome);
    const sha256 = rows[0]?.sha256 ?? null;
    if (sha256 === null) return;
    for (const copy of this.reader.takeCopies(sha256)) {
      // A training picture may need more views than a validation picture with the same content.
      if (this.reader.missing(copy, rows).length > 0) this.push(this.reader.prepare(copy, true));
      else await this.putRows(copy, rows, 'reused');
    }
  }

  private async putRows(picture: Picture, rows: readonly EmbeddingRow[], outcome: Outcome): Promise<void> {
    const { table, putsKnown } = this.options;
    const { entry, known } = picture;
    const isAugmented = this.options.isAugmented(entry);
    for (const row of rows) {
      const isThere = !putsKnown && row.sha256 === known?.sha256 && known.views.includes(row.view);
      if (isThere || (!isAugmented && row.view !== 'center')) continue;
      const { sha256, view, width, height, embedding, fingerprint, error } = row;
      await table.put(this.rowOf(picture, { sha256, view, width, height, embedding, fingerprint, error }));
    }
    this.options.onOutcome(rows.some(({ error }) => error !== null) ? 'failed' : outcome);
  }

  private rowOf(picture: RowSubject, found: Partial<EmbeddingRow>): EmbeddingRow {
    return rowOf(picture, this.options.dataset, this.options.backbone, found);
  }
}
