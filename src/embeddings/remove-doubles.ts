import { FURTHER_VIEWS, type View } from '../images/index.js';
import type { EmbeddingRow } from './row.js';
import type { EmbeddingTable } from './table.js';

const ALL_VIEWS: readonly View[] = ['center', ...FURTHER_VIEWS];

/** Pictures whose rows are held at a time. */
const BLOCK = 256;

/**
 * Leaves one row of each picture and view of a data set. A table of an earlier version, whose columns have no mark of a key,
 * takes both rows where two processes insert the same at the same time; such a mark cannot be set on a table that is there,
 * as LanceDB knows no way to mark several columns, and to write the table anew would lose what others put meanwhile.
 *
 * All rows of such a picture are removed before one is put back. A kill in between costs an embedding: the data set is not
 * complete as yet, and another run finds the picture without a row.
 * @returns how many pictures had more than one row of a view
 */
export async function removeDoubles(dataset: string, table: EmbeddingTable): Promise<number> {
  if (await table.hasKey()) return 0;
  const [seen, doubled] = [new Set<string>(), new Set<string>()];
  for await (const block of table.read({ dataset, views: ALL_VIEWS }, ['path', 'view'])) {
    for (const { path, view } of block) {
      const key = `${view} ${path}`;
      if (seen.has(key)) doubled.add(path);
      seen.add(key);
    }
  }
  const paths = [...doubled];
  for (let at = 0; at < paths.length; at += BLOCK) await keepOne(dataset, table, paths.slice(at, at + BLOCK));
  return paths.length;
}

async function keepOne(dataset: string, table: EmbeddingTable, paths: readonly string[]): Promise<void> {
  const rows: EmbeddingRow[] = await table.rowsOfFiles(dataset, paths);
  await table.remove(dataset, paths);
  for (const row of rows) await table.put(row);
  await table.flush();
}
