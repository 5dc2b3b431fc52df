import { chooseDataset, type Selection } from '../../classifier/index.js';
import {
  EmbeddingStore,
  labelsIn,
  type DatasetRecord,
  type EmbeddingRow,
  type EmbeddingTable,
} from '../../embeddings/index.js';
import { LastlayerError } from '../../errors.js';

/** A picture with an embedding. */
export interface ExportedRow {
  /** Absolute path of the file. */
  path: string;
  label: string | null;
  /** All that the picture shows, where its data set has such lists. */
  labels: readonly string[] | null;
  split: string | null;
  /** [width] */
  embedding: Float32Array;
}

/** The embedded pictures of a data set, in the order of the store. */
export interface StoredRows {
  record: DatasetRecord;
  count: number;
  /** Whether the pictures have lists of labels rather than one label. */
  hasLists: boolean;
  /** Pictures without an embedding, which are not among the rows. */
  failed: number;
  blocks: () => AsyncGenerator<ExportedRow[]>;
}

/**
 * Opens the embeddings of one data set by one model.
 * @param use is given the rows; the store is open until it is done
 * @throws {LastlayerError} where there are none, or those of several models and none is chosen
 */
export async function withStoredRows<Result>(
  selection: Selection,
  use: (rows: StoredRows) => Promise<Result>,
): Promise<Result> {
  const store = await EmbeddingStore.open(selection.store, { create: false });
  try {
    const record = chooseDataset(await store.datasets(), selection, store.location);
    return await use(await open(await store.tableOf(record), record));
  } finally {
    store.close();
  }
}

async function open(table: EmbeddingTable, record: DatasetRecord): Promise<StoredRows> {
  const { dataset } = record;
  let [count, hasLists] = [0, false];
  for await (const block of table.read({ dataset, failed: false }, ['path', 'labels', 'view'])) {
    const rows = block.filter(isCenter);
    count += rows.length;
    hasLists ||= rows.some(({ labels }) => labels !== null);
  }
  if (count === 0)
    throw new LastlayerError(`No picture of ${dataset} has an embedding, so there is nothing to export.`);
  const failed = await table.count({ dataset, failed: true });
  return { record, count, hasLists, failed, blocks: () => blocksOf(table, dataset) };
}

async function* blocksOf(table: EmbeddingTable, dataset: string): AsyncGenerator<ExportedRow[]> {
  const columns = ['path', 'label', 'labels', 'split', 'view', 'embedding'] as const;
  for await (const block of table.read({ dataset, failed: false }, columns)) {
    yield block.filter(isCenter).map(exported);
  }
}

/** The transform's own crop, of which every picture has one. */
function isCenter({ view }: EmbeddingRow): boolean {
  return view === 'center';
}

function exported({ path, label, labels, split, embedding }: EmbeddingRow): ExportedRow {
  if (!embedding) throw new LastlayerError(`The store holds no embedding of ${path}. Embed it again.`);
  return { path, label, labels: labels === null ? null : labelsIn(labels), split, embedding };
}
