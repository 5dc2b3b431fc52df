import type { Dataset, Split } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import { AUGMENTED_VIEWS, augmentedViews, checkViewSets, type ViewSet } from '../image/views.js';
import type { KnownRow } from '../store/row.js';
import { EmbeddingStore } from '../store/store.js';
import { DEFAULT_STORE } from '../util/defaults.js';
import type { EmbeddingTable } from '../store/table.js';
import { LastlayerError, withCode } from '../util/errors.js';
import { quantity } from '../util/format.js';
import { embedPictures, entriesOf, isTrainingPicture, type PictureOptions, type PipelineOptions } from './pipeline.js';

export interface EmbedOptions extends PipelineOptions {
  /** Folder of the store, or an address such as s3://bucket/folder. @default 'embeddings' */
  store?: string | undefined;
  /**
   * Augmented views to embed of the training pictures: those of the training split and those of no split. Views that are in the
   * store already stay there in any case. @default none
   */
  views?: readonly ViewSet[] | undefined;
  onProgress?: ((progress: EmbedProgress) => void) | undefined;
}

export interface EmbedProgress {
  /** First the data set is listed, then its pictures are embedded. */
  phase: 'scan' | 'embed';
  /** Pictures of the data set, as far as it is listed. */
  total: number;
  /** Pictures that are done: the sum of the following four. */
  done: number;
  /** Pictures that went through the backbone. */
  embedded: number;
  /** Pictures whose content was embedded before, under another name, label or split. */
  reused: number;
  /** Pictures that have not changed since they were embedded. */
  unchanged: number;
  /** Pictures that could not be read. */
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
  /** Pictures per label. Those without a label, or with an empty list of labels, are under ''. */
  labels: Record<string, number>;
  /** Pictures per split. Those without a split are under ''. */
  splits: Record<string, number>;
  /** Rows that were removed because their files are no longer in the data set. */
  removed: number;
  /** Augmented views in the store, of all pictures of the data set together. */
  views: number;
  /** Files whose names do not end like a picture's: how many, and the first few; and what else was passed over, in words. */
  skipped: { count: number; examples: string[]; remarks: string[] };
}

/**
 * Embeds every picture of a data set into the store. What is in the store already is not embedded again: a file of the same path,
 * size and time of change is not even read; a file of the same content is not decoded. A picture that cannot be read gets a row
 * with an error. Of augmented views, only those are embedded that are missing.
 * @param path a folder or manifest, as {@link openDataset} takes it
 * @param pipeline embeds the pictures
 * @throws {LastlayerError} if the data set, the store or the model cannot be used
 * @throws {UsageError} if an option is out of range
 * @throws the signal's reason, once it aborts; what is embedded by then is in the store
 */
export async function embedDataset(
  path: string,
  options: EmbedOptions,
  pipeline: Pipeline = embedPictures,
): Promise<EmbedSummary> {
  const { backbone, split, signal, views = [] } = options;
  checkViewSets(views);
  const dataset = await openDataset(path);
  const progress = new ProgressCounter(options.onProgress);
  const listing = await withCode('DATASET_UNUSABLE', () => list(dataset, split, progress, signal));
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
    const recorded = store.record({ ...record, complete: false, updated: Date.now() });
    recorded.catch(() => undefined);
    try {
      await pipeline(table, dataset, {
        ...options,
        views: augmentedViews(views),
        isAugmented: isTrainingPicture,
        rows: 'new',
        onOutcome: progress.add,
      });
    } finally {
      await table.flush();
      await recorded;
    }
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

/** Puts the rows of a data set's pictures into the table, itself or by others. */
export type Pipeline = (table: EmbeddingTable, dataset: Dataset, options: PictureOptions<KnownRow>) => Promise<void>;

/** Counts pictures, and reports progress. */
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

/** Lists the whole data set before the work begins, so that a faulty manifest is found at once. */
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
    for (const label of entry.labels?.length ? entry.labels : [entry.label ?? '']) count(labels, label);
    count(splits, entry.split ?? '');
    progress.add('total');
  }
  if (progress.counts.total === 0) {
    const { skipped } = dataset;
    const other =
      skipped.count > 0 ? ` (${quantity(skipped.count, 'file')} of another kind, such as ${skipped.examples[0]!})` : '';
    const ofSplit = split ? ` of the split ${split}` : '';
    throw new LastlayerError(`There are no pictures${ofSplit} in ${dataset.root}${other}.`);
  }
  return { labels: Object.fromEntries(labels), splits: Object.fromEntries(splits) };
}

function count(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Removes the rows of files that the data set no longer lists. There are none if the table has as many rows as it lists files. */
async function removeVanished(
  dataset: Dataset,
  table: EmbeddingTable,
  split: Split | undefined,
  listed: number,
): Promise<number> {
  const rows = { dataset: dataset.root, split };
  if ((await table.count(rows)) <= listed) return 0;
  let removed = 0;
  for await (const block of table.read(rows, ['path'])) {
    const gone: string[] = [];
    for (const { path } of block) if (!(await dataset.contains(path))) gone.push(path);
    await table.remove(dataset.root, gone);
    removed += gone.length;
  }
  return removed;
}

/** Removes augmented views of what a file held before. Those that were asked for have been replaced already. */
async function removeStaleViews(dataset: string, table: EmbeddingTable): Promise<void> {
  for await (const block of table.read({ dataset, views: AUGMENTED_VIEWS }, ['path', 'view'])) {
    const known = await table.known([...new Set(block.map(({ path }) => path))], dataset);
    for (const name of AUGMENTED_VIEWS) {
      const stale = block.filter(
        ({ path, view }) => view === name && !known.get(path)?.some((row) => row.view === name),
      );
      await table.remove(
        dataset,
        stale.map(({ path }) => path),
        [name],
      );
    }
  }
}
