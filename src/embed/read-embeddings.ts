import { openDataset } from '../data/open.js';
import type { View } from '../image/views.js';
import type { EmbeddingRow, RowStore } from '../store/row.js';
import { EmbeddingStore } from '../store/store.js';
import type { EmbeddingTable } from '../store/table.js';
import { embedPictures, type PipelineOptions } from './pipeline.js';

interface ReadThroughOptions extends PipelineOptions {
  /** Store whose embeddings are used as far as they go. It is never written to. */
  store?: string | undefined;
  /** Augmented views that are wanted of every picture. @default none */
  views?: readonly View[] | undefined;
  /** Called once for each picture and view. The center views come in the order of the pictures. */
  onRow: (row: EmbeddingRow) => void;
}

/**
 * Gives the embedding of every picture of a data set, out of the store if it is there, else computed.
 * @param path a folder or manifest
 * @throws as `embedDataset` does
 */
export async function readEmbeddings(path: string, { store, ...options }: ReadThroughOptions): Promise<void> {
  const { backbone, onRow, views = [] } = options;
  const exists = store !== undefined && (await EmbeddingStore.exists(store));
  const opened = exists ? await EmbeddingStore.open(store, { create: false }) : undefined;
  try {
    const table = await opened?.existingTable(backbone.id, backbone.transformId, backbone.width);
    await embedPictures(readOnly(table, ['center', ...views], onRow), await openDataset(path), {
      ...options,
      views,
      isAugmented: () => true,
      rows: 'all',
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
  views: readonly View[],
  onRow: (row: EmbeddingRow) => void,
): RowStore<EmbeddingRow> {
  return {
    known: async (paths, dataset) => (await table?.knownWithEmbeddings(paths, dataset, views)) ?? new Map(),
    knownSizes: async (sizes) => (await table?.knownSizes(sizes)) ?? new Set<number>(),
    withContent: async (sha256) => {
      const wanted: readonly string[] = views;
      return ((await table?.withContent(sha256)) ?? []).filter(({ view }) => wanted.includes(view));
    },
    put: async (row) => {
      onRow(row);
      return Promise.resolve();
    },
  };
}
