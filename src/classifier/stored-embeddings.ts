import { resolve } from 'node:path';
import { EmbeddingStore, type DatasetRecord, type EmbeddingTable } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import type { FeatureSource } from '../head/index.js';
import { checkViewSets, furtherViews, type Split, type ViewSet } from '../images/index.js';
import { asCalled } from '../invocation.js';
import { Columns } from './columns.js';
import { storedFeatures } from './stored-features.js';

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
  dataset?: string;
  /** Id of the model, or its name where that is enough. */
  model?: string;
  /** Bytes that may be filled; by default what is free. */
  memory?: number;
  /** The further views to have features of, of those that the store has. Default: none. */
  views?: readonly ViewSet[];
  onNotice?: (line: string) => void;
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
    ...{ contents: sorted.contents, views: furtherViews(views) },
    ...(memory !== undefined && { memory }),
    ...(onNotice && { onNotice }),
  });
  return { record, source, ...sorted, failed: await table.count({ dataset, failed: true }), unlabelled };
}
