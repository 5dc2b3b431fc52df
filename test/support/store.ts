import type { EmbeddingRow } from '../../src/store/row.js';
import { EmbeddingStore } from '../../src/store/store.js';

const COLUMNS = ['path', 'dataset', 'label', 'split', 'sha256', 'width', 'height', 'embedding', 'error'] as const;

/** All rows of a store's tables, by path. */
export async function storedRows(location: string, dataset?: string): Promise<EmbeddingRow[]> {
  const store = await EmbeddingStore.open(location, { create: false });
  try {
    const rows: EmbeddingRow[] = [];
    const tables = new Map((await store.datasets()).map((record) => [record.table, record]));
    for (const record of tables.values()) {
      const table = await store.tableOf(record);
      for await (const block of table.read(dataset === undefined ? {} : { dataset }, COLUMNS)) rows.push(...block);
    }
    return rows.sort((a, b) => (a.path < b.path ? -1 : 1));
  } finally {
    store.close();
  }
}
