import { TrunkPool, type Backbone, type Trunk } from '../backbone/index.js';
import { UsageError } from '../errors.js';
import type { Dataset, DatasetEntry, Split, View } from '../images/index.js';
import { Embedder } from './embedder.js';
import type { Outcome } from './picture-reader.js';
import { plan } from './plan.js';
import type { KnownRow, RowStore } from './row-store.js';

/** On the processor, larger batches are no faster, take more memory, and leave threads without work at the end. */
const DEFAULT_BATCH_SIZE = { processor: 8, otherDevice: 32 };
export const DEFAULT_CONCURRENCY = 32;

export interface PassOptions {
  backbone: Backbone;
  /** The backbone's threads, where they are to serve further passes; the caller closes them. By default the pass has its own. */
  trunk?: Trunk;
  /** Pictures that go through the trunk together, in each of its threads. Default: 8 on the processor, else 32. */
  batchSize?: number;
  /** Pictures that are read and decoded at the same time. Default: 32. */
  concurrency?: number;
  /** Of a data set with splits, only this one; the pictures of one without splits are taken for it. */
  split?: Split;
  /** Breaks off; what is embedded by then is kept, and another run goes on from there. */
  signal?: AbortSignal;
}

export interface PassCallbacks<Row> {
  /** The further views to see to, of those pictures that take any. */
  views: readonly View[];
  takesViews: (entry: DatasetEntry) => boolean;
  /** Called once for each picture. */
  onOutcome: (outcome: Outcome | 'unchanged') => void;
  /**
   * Called with the rows that stay as they are, of pictures of which no view is missing; all others are put into the table.
   * Without it, the table is taken to keep its rows.
   */
  onUnchanged?: (row: Row) => void;
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
    takesViews,
    onOutcome,
    onUnchanged,
    ...options
  }: PassOptions & PassCallbacks<Row>,
): Promise<void> {
  const { device = 'cpu' } = backbone.options;
  const defaultSize = DEFAULT_BATCH_SIZE[device === 'cpu' ? 'processor' : 'otherDevice'];
  const batchSize = positive('batchSize', options.batchSize ?? defaultSize);
  const concurrency = positive('concurrency', options.concurrency ?? DEFAULT_CONCURRENCY);
  // It has no threads until it is used.
  const own = new TrunkPool(backbone);
  const { trunk = own } = options;
  const embedder = new Embedder({
    backbone,
    trunk,
    table,
    dataset: dataset.root,
    batchSize,
    concurrency,
    views,
    takesViews,
    onOutcome,
    signal,
  });
  const viewsOf = (entry: DatasetEntry) => (takesViews(entry) ? views : []);
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

function positive(name: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new UsageError(`${name} is ${value}; a whole number from 1 on is expected.`);
}
