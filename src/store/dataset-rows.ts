import { resolve } from 'node:path';
import { type Split, splitNamed } from '../data/dataset.js';
import type { FeatureSource } from '../head/examples.js';
import { checkViewSets, augmentedViews, type ViewSet } from '../image/views.js';
import { asCalled, LastlayerError } from '../util/errors.js';
import { storedFeatures } from './features.js';
import { type EmbeddingRow, labelsIn } from './row.js';
import { type DatasetRecord, DEFAULT_STORE, EmbeddingStore } from './store.js';
import type { EmbeddingTable } from './table.js';

/** The labelled embeddings of a data set, in the order of the paths. M rows. */
export interface StoredEmbeddings {
  record: DatasetRecord;
  source: FeatureSource;
  paths: string[];
  /** The classes; '' each where the rows have `labelSets` instead. */
  labels: string[];
  /** All labels of each row, where the data set has lists of them. */
  labelSets: (readonly string[])[] | undefined;
  splits: (Split | undefined)[];
  /** sha256 of each picture */
  contents: string[];
  groups: (string | undefined)[];
  /** [M]; undefined where no picture has a weight. */
  weights: Float64Array | undefined;
  /** Pictures without an embedding, which are not among the rows. */
  failed: number;
  /** Pictures without a label, which are not among the rows. */
  unlabelled: number;
}

export interface Selection {
  /** Folder or address of the store. */
  store: string;
  /** The data set; by default the one that was embedded last. */
  dataset?: string | undefined;
  /** Id of the model, or its name where that is enough. */
  model?: string | undefined;
  /** Bytes that may be filled; by default what is free. */
  memory?: number | undefined;
  /** The further views to have features of, of those that the store has. Default: none. */
  views?: readonly ViewSet[] | undefined;
  onNotice?: ((line: string) => void) | undefined;
}

/**
 * Reads the embeddings of one data set by one model from the store. Those that would fill the memory stay in the store,
 * and are read block by block whenever they are gone through.
 * @param use is given the embeddings; the store is open until it is done
 * @throws {LastlayerError} where there are none, or those of several models and none is chosen
 */
export async function withStoredEmbeddings<Result>(
  selection: Selection,
  use: (stored: StoredEmbeddings) => Promise<Result>,
): Promise<Result> {
  const store = await EmbeddingStore.open(selection.store, { create: false });
  try {
    const record = chooseDataset(await store.datasets(), selection, store.location);
    if (!record.complete) {
      selection.onNotice?.(
        asCalled(
          `${record.dataset} was not embedded to the end; training on what is there. \`npm run embed\` goes on with it.`,
        ),
      );
    }
    return await use(await read(await store.tableOf(record), record, selection));
  } finally {
    store.close();
  }
}

/**
 * The data set, and the model that embedded it, that a selection means.
 * @throws {LastlayerError} where there is none, or several that the selection does not choose between
 */
export function chooseDataset(
  records: readonly DatasetRecord[],
  { dataset, model, onNotice }: Selection,
  location: string,
): DatasetRecord {
  const [latest] = records;
  if (!latest) {
    throw new LastlayerError(
      `There are no embeddings in ${location}. Run \`npm run embed -- DATASET\` first.`,
    );
  }
  const wanted = dataset === undefined ? latest.dataset : resolve(dataset);
  const others = [...new Set(records.map((record) => record.dataset))].filter((name) => name !== wanted);
  const ofDataset = records.filter((record) => record.dataset === wanted);
  if (ofDataset.length === 0) {
    throw new LastlayerError(
      `${wanted} is not in ${location}, which holds ${others.join(', ')}. Embed it first.`,
    );
  }
  if (dataset === undefined && others.length > 0) {
    onNotice?.(
      `The store holds ${others.length + 1} data sets; taking the one embedded last, ${wanted}. ` +
        `--dataset chooses another: ${others.join(', ')}.`,
    );
  }
  const ofModel = ofDataset.filter(
    ({ model_id }) => model === undefined || model_id === model || model_id.startsWith(`${model}@`),
  );
  const ids = ofDataset.map(({ model_id }) => model_id).join(', ');
  const [record, second] = ofModel;
  if (!record) {
    throw new LastlayerError(
      `${wanted} was embedded by ${ids}, not by ${model ?? ''}. Embed it with that model first.`,
    );
  }
  if (second) {
    throw new LastlayerError(
      `${wanted} was embedded by several models, whose embeddings do not mix: ${ids}. Choose one: --model ${record.model_id}`,
    );
  }
  return record;
}

async function read(
  table: EmbeddingTable,
  record: DatasetRecord,
  { memory, views = [], onNotice }: Selection,
): Promise<StoredEmbeddings> {
  checkViewSets(views);
  const { dataset } = record;
  const rows = new Columns();
  let unlabelled = 0;
  const columns = ['path', 'label', 'labels', 'split', 'sha256', 'group', 'weight'] as const;
  for await (const block of table.read({ dataset, failed: false }, columns)) {
    for (const row of block) if (!rows.add(row)) unlabelled++;
  }
  const { counts } = rows;
  if (counts.label > 0 && counts.labels > 0) {
    throw new LastlayerError(
      `${dataset} mixes pictures of one class with pictures of any number of labels: ${counts.label} have a label and ` +
        `${counts.labels} have labels. Give all of them labels (a list of one is a list, too) or all of them a label, and ` +
        `embed it again.`,
    );
  }
  const sorted = rows.sorted();
  const source = await storedFeatures(table, dataset, sorted.paths, {
    contents: sorted.contents,
    views: augmentedViews(views),
    memory,
    onNotice,
  });
  return { record, source, ...sorted, failed: await table.count({ dataset, failed: true }), unlabelled };
}

/** Pictures of the data set that were not used: unreadable, without a label, or of the test split. */
export interface Unused {
  failed: number;
  unlabelled: number;
  test: number;
}

/**
 * As `withStoredEmbeddings`, where some picture is labelled.
 * @param selection.store default: `embeddings`
 * @throws {LastlayerError} where none is, or as `withStoredEmbeddings` does
 */
export async function withLabelledEmbeddings<Result>(
  selection: Omit<Selection, 'store'> & { store?: string | undefined },
  use: (stored: StoredEmbeddings) => Promise<Result>,
): Promise<Result> {
  const { store = DEFAULT_STORE } = selection;
  return withStoredEmbeddings({ ...selection, store }, async (stored) => {
    const { record, failed, unlabelled, labels } = stored;
    if (labels.length > 0) return use(stored);
    throw new LastlayerError(
      `${record.dataset} has no labelled pictures (${unlabelled} without a label, ${failed} unreadable). Put each ` +
        `picture in a folder named after its class, or give labels in a manifest.`,
    );
  });
}

export function unusedOf({ failed, unlabelled, splits }: StoredEmbeddings): Unused {
  return { failed, unlabelled, test: splits.filter((split) => split === 'test').length };
}

/** What the rows say of their pictures, a column each: for a million rows, objects would take several times as much. */
class Columns {
  private readonly paths: string[] = [];
  private readonly labels: string[] = [];
  private readonly labelSets: (readonly string[])[] = [];
  private readonly splits: (Split | undefined)[] = [];
  private readonly contents: string[] = [];
  private readonly groups: (string | undefined)[] = [];
  private readonly weights: number[] = [];
  /** One copy of each text that many rows have. */
  private readonly texts = new Map<string, string>();
  private readonly lists = new Map<string, readonly string[]>();
  private readonly kinds = { label: 0, labels: 0 };

  /** @returns false for a row without a label or a list of labels, which is left out */
  add({ path, label, labels, split, sha256, group, weight }: EmbeddingRow): boolean {
    if (label === null && labels === null) return false;
    this.kinds[label === null ? 'labels' : 'label']++;
    this.paths.push(path);
    this.labels.push(this.shared(label ?? ''));
    this.labelSets.push(this.listOf(labels));
    this.splits.push(split === null ? undefined : splitNamed(split));
    this.contents.push(sha256 ?? path);
    this.groups.push(group === null ? undefined : this.shared(group));
    this.weights.push(weight ?? 1);
    return true;
  }

  /** How many rows have one label, and how many a list of them. */
  get counts(): Readonly<{ label: number; labels: number }> {
    return this.kinds;
  }

  /** The columns in the order of the paths. */
  sorted() {
    const { paths, labels, labelSets, splits, contents, groups, weights, kinds } = this;
    const order = Uint32Array.from(paths, (_, i) => i).sort((a, b) => {
      const [first, second] = [paths[a] ?? '', paths[b] ?? ''];
      return first < second ? -1 : first > second ? 1 : 0;
    });
    const inOrder = <T>(column: readonly T[], absent: T) => Array.from(order, (i) => column[i] ?? absent);
    return {
      paths: inOrder(paths, ''),
      labels: inOrder(labels, ''),
      labelSets: kinds.labels > 0 ? inOrder(labelSets, []) : undefined,
      splits: inOrder(splits, undefined),
      contents: inOrder(contents, ''),
      groups: inOrder(groups, undefined),
      weights: weights.every((weight) => weight === 1)
        ? undefined
        : Float64Array.from(order, (i) => weights[i] ?? 1),
    };
  }

  private listOf(text: string | null): readonly string[] {
    const known = this.lists.get(text ?? '');
    const list = known ?? labelsIn(text);
    if (!known) this.lists.set(text ?? '', list);
    return list;
  }

  private shared(text: string): string {
    const known = this.texts.get(text);
    if (known === undefined) this.texts.set(text, text);
    return known ?? text;
  }
}
