import { extname } from 'node:path';
import type { Selection } from '../../classifier/index.js';
import { writeExport } from '../write-export.js';
import { writeManifest } from './csv.js';
import { writeJson } from './json.js';
import { writeNpy } from './npy.js';
import { writeParquet } from './parquet.js';
import { withStoredRows, type StoredRows } from './stored-rows.js';

export const TABLE_FORMATS = ['npy', 'parquet', 'json'] as const;
export type TableFormat = (typeof TABLE_FORMATS)[number];

export interface ExportEmbeddingsOptions extends Selection {
  format: TableFormat;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
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
      ...{ paths: options.format === 'npy' ? [path, manifest] : [path], rows: count, width: record.width },
      ...{ dataset: record.dataset, modelId: record.model_id, failed },
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
