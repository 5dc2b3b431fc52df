import type { Table } from '@lancedb/lancedb';
import { Index } from '../util/lancedb.js';
import { isConflict } from './errors.js';

/** From this many rows on, an index on a column pays: up to 60,000 rows, a scan of the column was as fast. */
const INDEX_FROM = 100_000;

/** Superseded versions are kept this long for those who are reading them. */
const KEEP_VERSIONS_MS = 3_600_000;

/**
 * Joins small files, adds new rows to the indexes and drops old versions. If another process writes to the table meanwhile, it is
 * left to the next caller, as nothing depends on it.
 * @param columns to index once the table is large
 */
export async function compact(table: Table, columns: readonly string[] = []): Promise<void> {
  if (columns.length > 0 && (await table.countRows()) >= INDEX_FROM) {
    const indexed = (await table.listIndices()).flatMap((index) => index.columns);
    for (const column of columns.filter((name) => !indexed.includes(name))) {
      await table.createIndex(column, { config: Index.btree() });
    }
  }
  try {
    await table.optimize({ cleanupOlderThan: new Date(Date.now() - KEEP_VERSIONS_MS) });
  } catch (error) {
    if (!isConflict(error)) throw error;
  }
}
