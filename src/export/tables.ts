import { extname } from 'node:path';
import { chooseDataset, type Selection } from '../store/dataset-rows.js';
import { type EmbeddingRow, labelsIn } from '../store/row.js';
import { type DatasetRecord, EmbeddingStore } from '../store/store.js';
import type { EmbeddingTable } from '../store/table.js';
import { LastlayerError } from '../util/errors.js';
import { writeJson, writeManifest, writeNpy, writeParquet } from './table-formats.js';
import { writeExport } from './write-export.js';

export const TABLE_FORMATS = ['npy', 'parquet', 'json'] as const;
export type TableFormat = (typeof TABLE_FORMATS)[number];

export interface ExportEmbeddingsOptions extends Selection {
  format: TableFormat;
  onProgress?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Embeddings that were written. */
export interface ExportedEmbeddings {
  /** The files, the embeddings' own first. */
  paths: string[];
  rows: number;
  width: number;
  dataset: string;
  modelId: string;
  /** Pictures that could not be read, and so are not in it. */
  failed: number;
}

/**
 * Writes the embeddings of a data set with paths, labels and splits for other programs, in the order of the store, block by
 * block, so that any number of them can be written:
 * - `npy`: float32 [rows, width], and beside it the other columns as a manifest with the ending .csv;
 * - `parquet`: the columns path, label (or labels, a list), split and embedding, a list of float32;
 * - `json`: an array of objects with these.
 * @throws {LastlayerError} where there are no embeddings, or those of several models and none is chosen, or a file cannot be
 *   written
 * @throws the signal's reason, once it aborts; nothing is written then
 */
export async function exportEmbeddings(
  path: string,
  options: ExportEmbeddingsOptions,
): Promise<ExportedEmbeddings> {
  return withStoredRows(options, async (stored) => {
    const rows = watched(stored, options);
    const manifest = `${path.slice(0, path.length - extname(path).length)}.csv`;
    if (options.format === 'npy') {
      await writeExport(
        { path, content: (file) => writeNpy(file, rows) },
        { path: manifest, content: (file) => writeManifest(file, stored) },
      );
    } else {
      const write = options.format === 'parquet' ? writeParquet : writeJson;
      await writeExport({ path, content: (file) => write(file, rows) });
    }
    const { record, count, failed } = stored;
    return {
      paths: options.format === 'npy' ? [path, manifest] : [path],
      rows: count,
      width: record.width,
      dataset: record.dataset,
      modelId: record.model_id,
      failed,
    };
  });
}

function watched(rows: StoredRows, { onProgress, signal }: ExportEmbeddingsOptions): StoredRows {
  return {
    ...rows,
    async *blocks() {
      let done = 0;
      for await (const block of rows.blocks()) {
        signal?.throwIfAborted();
        yield block;
        onProgress?.((done += block.length), rows.count);
      }
    },
  };
}

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
async function withStoredRows<Result>(
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
