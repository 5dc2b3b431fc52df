import { extname } from 'node:path';
import { type Selection, withDataset } from '../store/dataset-rows.js';
import { type EmbeddingRow, labelsIn } from '../store/row.js';
import type { DatasetRecord } from '../store/store.js';
import type { EmbeddingTable } from '../store/table.js';
import { LastlayerError } from '../util/errors.js';
import {
  type ExportedRow,
  type ExportedRows,
  writeJson,
  writeManifest,
  writeNpy,
  writeParquet,
} from './table-formats.js';
import type { TableFormat } from './formats.js';
import { writeExport } from './write-export.js';

export interface ExportEmbeddingsOptions extends Selection {
  format: TableFormat;
  onProgress?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** Embeddings that were written. */
export interface ExportedEmbeddings {
  /** The files, that of the embeddings first. */
  paths: string[];
  rows: number;
  width: number;
  dataset: string;
  modelId: string;
  /** Pictures that could not be read, so are not among the rows. */
  failed: number;
}

/**
 * Writes the embeddings of a data set for other programs, with paths, labels and splits, in the order of the store. Works block
 * by block, so that any number of them can be written.
 * - `npy`: float32 [rows, width]; beside it the other columns as a manifest, with the ending .csv
 * - `parquet`: the columns path, label (or labels, a list), split and embedding, a list of float32
 * - `json`: an array of objects with these
 * @throws {LastlayerError} if there are no embeddings, there are those of several models and none is chosen, or a file
 *   cannot be written
 * @throws the signal's reason, once it aborts; nothing is written then
 */
export async function exportEmbeddings(path: string, options: ExportEmbeddingsOptions): Promise<ExportedEmbeddings> {
  return withDataset(options, async (table, record) => {
    const rows = await openRows(table, record);
    const paths = await write(path, rows, options);
    const { dataset, model_id: modelId, width } = record;
    const failed = await table.count({ dataset, failed: true });
    return { paths, rows: rows.count, width, dataset, modelId, failed };
  });
}

async function openRows(table: EmbeddingTable, record: DatasetRecord): Promise<ExportedRows> {
  const { dataset } = record;
  let [count, multilabel] = [0, false];
  for await (const block of table.read({ dataset, failed: false }, ['labels'])) {
    count += block.length;
    multilabel ||= block.some(({ labels }) => labels !== null);
  }
  if (count === 0) {
    throw new LastlayerError(`No picture of ${dataset} has an embedding, so there is nothing to export.`);
  }
  return { record, count, multilabel, blocks: () => blocksOf(table, dataset) };
}

async function* blocksOf(table: EmbeddingTable, dataset: string): AsyncGenerator<ExportedRow[]> {
  const columns = ['path', 'label', 'labels', 'split', 'embedding'] as const;
  for await (const block of table.read({ dataset, failed: false }, columns)) {
    yield block.map(exported);
  }
}

function exported({ path, label, labels, split, embedding }: EmbeddingRow): ExportedRow {
  if (!embedding) throw new LastlayerError(`The store holds no embedding of ${path}. Embed it again.`);
  return { path, label, labels: labels === null ? null : labelsIn(labels), split, embedding };
}

/** @returns the files */
async function write(path: string, rows: ExportedRows, options: ExportEmbeddingsOptions): Promise<string[]> {
  const watched = { ...rows, blocks: () => watchedBlocks(rows, options) };
  if (options.format !== 'npy') {
    const writeRows = options.format === 'parquet' ? writeParquet : writeJson;
    await writeExport({ path, content: (file) => writeRows(file, watched) });
    return [path];
  }
  const manifest = `${path.slice(0, path.length - extname(path).length)}.csv`;
  await writeExport(
    { path, content: (file) => writeNpy(file, watched) },
    { path: manifest, content: (file) => writeManifest(file, rows) },
  );
  return [path, manifest];
}

async function* watchedBlocks(
  { blocks, count }: ExportedRows,
  { onProgress, signal }: ExportEmbeddingsOptions,
): AsyncGenerator<ExportedRow[]> {
  let done = 0;
  for await (const block of blocks()) {
    signal?.throwIfAborted();
    yield block;
    onProgress?.((done += block.length), count);
  }
}
