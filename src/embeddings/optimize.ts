import type { Table } from '../lancedb.js';
import { isConflict } from './conflicts.js';

/** Superseded versions are kept this long for those who are reading them. */
const KEEP_VERSIONS_MS = 3_600_000;

/**
 * Joins small files, adds new rows to the indexes and drops old versions. Where another process writes to the table meanwhile, that
 * is left to the next one: nothing depends on it.
 */
export async function optimize(table: Table): Promise<void> {
  try {
    await table.optimize({ cleanupOlderThan: new Date(Date.now() - KEEP_VERSIONS_MS) });
  } catch (error) {
    if (!isConflict(error)) throw error;
  }
}
