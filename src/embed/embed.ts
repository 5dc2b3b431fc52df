import type { Dataset, DatasetEntry, Split } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import { checkViewSets, AUGMENTED_VIEWS, augmentedViews, type ViewSet } from '../image/views.js';
import { removeDoubles, removeStaleViews, removeVanished } from '../store/maintenance.js';
import type { KnownRow } from '../store/row.js';
import { DEFAULT_STORE, EmbeddingStore } from '../store/store.js';
import type { EmbeddingTable } from '../store/table.js';
import { LastlayerError } from '../util/errors.js';
import { embedPictures, entriesOf, type PassCallbacks, type PassOptions } from './pipeline.js';

export interface EmbedOptions extends PassOptions {
  /** Folder of the store, or an address such as s3://bucket/folder. Default: `embeddings`. */
  store?: string | undefined;
  /**
   * Further views to embed of the pictures to train on: those of the training split and those of no split. Views that the
   * store has already stay there in any case. Default: none.
   */
  views?: readonly ViewSet[] | undefined;
  onProgress?: ((progress: EmbedProgress) => void) | undefined;
  /** Sees to the pictures, where that is not to be done here. */
  pass?: Pass | undefined;
}

/** Sees to it that the table has the row of every picture of a data set. */
type Pass = (
  table: EmbeddingTable,
  dataset: Dataset,
  options: PassOptions & PassCallbacks<KnownRow>,
) => Promise<void>;

export interface EmbedProgress {
  /** First the data set is listed, then its pictures are embedded. */
  phase: 'scan' | 'embed';
  /** Pictures of the data set, so far as it is listed. */
  total: number;
  /** Pictures that are done with, however. */
  done: number;
  /** Of those, the ones that went through the backbone; */
  embedded: number;
  /** whose content was embedded before under another name, label or split; */
  reused: number;
  /** that did not change since they were embedded; */
  unchanged: number;
  /** that could not be read. */
  failed: number;
}

export interface EmbedSummary extends Omit<EmbedProgress, 'phase' | 'done'> {
  /** Absolute path of the data set. */
  dataset: string;
  layout: string;
  store: string;
  modelId: string;
  transformId: string;
  /** Width of the embeddings. */
  width: number;
  /** Pictures for each label; those without one, and those whose list of labels is empty, under ''. */
  labels: Record<string, number>;
  /** Pictures for each split; those without one under ''. */
  splits: Record<string, number>;
  /** Rows of files that are no longer in the data set, which were removed. */
  removed: number;
  /** Further views of the data set that the store has, of all pictures together. */
  views: number;
  /** Files that are no pictures by their ending: how many, and the first few. */
  skipped: { count: number; examples: string[] };
}

/**
 * Embeds every picture of a data set into the store. What the store has already is not embedded again: a file of the
 * same path, size and time of change is not even read; a file of the same content is not decoded. A picture that
 * cannot be read becomes a row with an error. Of further views, only those are embedded that are missing.
 * @param path a folder or manifest, as {@link openDataset} takes it
 * @throws {LastlayerError} where the data set, the store or the model cannot be used
 * @throws {UsageError} where an option is out of range
 * @throws the signal's reason, once it aborts; what is embedded by then is in the store
 */
export async function embedDataset(path: string, options: EmbedOptions): Promise<EmbedSummary> {
  const { backbone, split, signal, views = [], pass = embedPictures } = options;
  checkViewSets(views);
  const dataset = await openDataset(path);
  const progress = new ProgressCounter(options.onProgress);
  const listing = await list(dataset, split, progress, signal);
  const store = await EmbeddingStore.open(options.store ?? DEFAULT_STORE, { create: true });
  try {
    const table = await store.table(backbone.id, backbone.transformId, backbone.width);
    const record = {
      dataset: dataset.root,
      layout: dataset.layout,
      table: table.name,
      model_id: backbone.id,
      transform_id: backbone.transformId,
      width: backbone.width,
    };
    // The first pictures are read meanwhile.
    const told = store.record({ ...record, complete: false, updated: Date.now() });
    told.catch(() => undefined);
    try {
      await pass(table, dataset, {
        ...options,
        views: augmentedViews(views),
        isAugmented: isLearntFrom,
        onOutcome: progress.add,
      });
    } finally {
      await table.flush();
      await told;
    }
    await removeDoubles(dataset.root, table);
    const removed = await removeVanished(dataset, table, split, progress.done);
    await removeStaleViews(dataset.root, table);
    await table.optimize();
    await store.record({ ...record, complete: true, updated: Date.now() });
    return {
      dataset: dataset.root,
      layout: dataset.layout,
      store: store.location,
      modelId: backbone.id,
      transformId: backbone.transformId,
      width: backbone.width,
      ...listing,
      ...progress.counts,
      removed,
      views: await table.count({ dataset: dataset.root, views: AUGMENTED_VIEWS }),
      skipped: dataset.skipped,
    };
  } finally {
    store.close();
  }
}

/** Whether a head may be trained on a picture: only then are further views of use. */
export function isLearntFrom({ split }: DatasetEntry): boolean {
  return split === undefined || split === 'train';
}

/** Counts pictures and tells the caller. */
class ProgressCounter {
  readonly counts = { total: 0, embedded: 0, reused: 0, unchanged: 0, failed: 0 };

  constructor(private readonly onProgress: ((progress: EmbedProgress) => void) | undefined) {}

  get done(): number {
    const { embedded, reused, unchanged, failed } = this.counts;
    return embedded + reused + unchanged + failed;
  }

  readonly add = (what: keyof typeof this.counts): void => {
    this.counts[what]++;
    this.onProgress?.({ phase: what === 'total' ? 'scan' : 'embed', done: this.done, ...this.counts });
  };
}

/** Goes through the listing once before the work begins, so that a faulty manifest is found out at once. */
async function list(
  dataset: Dataset,
  split: Split | undefined,
  progress: ProgressCounter,
  signal: AbortSignal | undefined,
): Promise<Pick<EmbedSummary, 'labels' | 'splits'>> {
  const labels = new Map<string, number>();
  const splits = new Map<string, number>();
  for await (const entry of entriesOf(dataset, split)) {
    signal?.throwIfAborted();
    const { labels: list } = entry;
    for (const label of list?.length ? list : [entry.label ?? '']) count(labels, label);
    count(splits, entry.split ?? '');
    progress.add('total');
  }
  if (progress.counts.total === 0) {
    const { skipped } = dataset;
    const other =
      skipped.count > 0
        ? ` (${skipped.count} files of other kinds, such as ${skipped.examples[0] ?? ''})`
        : '';
    const ofSplit = split ? ` of the split ${split}` : '';
    throw new LastlayerError(`There are no pictures${ofSplit} in ${dataset.root}${other}.`);
  }
  return { labels: Object.fromEntries(labels), splits: Object.fromEntries(splits) };
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
