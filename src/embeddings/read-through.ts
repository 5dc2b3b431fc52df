import { openDataset } from '../images/index.js';
import { embedPictures, type PassOptions } from './pass.js';
import type { EmbeddingRow } from './row.js';
import { EmbeddingStore } from './store.js';
import type { EmbeddingTable, RowStore } from './table.js';

export interface ReadThroughOptions extends PassOptions {
  /** Store whose embeddings are used where they fit; it is never written to. */
  store?: string;
  /** Called once for each picture, in no particular order. */
  onRow: (row: EmbeddingRow) => void;
}

/**
 * Goes through a data set and gives the embedding of every picture, taken from the store where it has it and computed
 * where not.
 * @param path a folder or manifest
 * @throws as `embedDataset` does
 */
export async function readEmbeddings(path: string, { store, ...options }: ReadThroughOptions): Promise<void> {
  const { backbone, onRow } = options;
  const isThere = store !== undefined && (await EmbeddingStore.exists(store));
  const opened = isThere ? await EmbeddingStore.open(store, { create: false }) : undefined;
  try {
    const table = await opened?.existingTable(backbone.id, backbone.transformId, backbone.width);
    await embedPictures(readOnly(table, onRow), await openDataset(path), {
      ...options,
      onUnchanged: onRow,
      onOutcome: () => undefined,
    });
  } finally {
    opened?.close();
  }
}

/** Looks pictures up in a table, if there is one, and hands rows on instead of writing them. */
function readOnly(
  table: EmbeddingTable | undefined,
  onRow: (row: EmbeddingRow) => void,
): RowStore<EmbeddingRow> {
  return {
    known: async (paths, dataset) =>
      (await table?.knownWithEmbeddings(paths, dataset)) ?? new Map<string, EmbeddingRow>(),
    knownSizes: async (sizes) => (await table?.knownSizes(sizes)) ?? new Set<number>(),
    withContent: async (sha256) => table?.withContent(sha256),
    put: async (row) => {
      onRow(row);
      return Promise.resolve();
    },
  };
}
