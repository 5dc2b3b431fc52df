import type { Table } from '@lancedb/lancedb';
import type { Dataset, Split } from '../data/dataset.js';
import { AUGMENTED_VIEWS, type View } from '../image/views.js';
import { isConflict } from './errors.js';
import type { EmbeddingRow } from './row.js';
import type { EmbeddingTable } from './table.js';

/** Removes the rows of files that the data set no longer lists; there are none where the numbers agree. */
export async function removeVanished(
  dataset: Dataset,
  table: EmbeddingTable,
  split: Split | undefined,
  listed: number,
): Promise<number> {
  const rows = split === undefined ? { dataset: dataset.root } : { dataset: dataset.root, split };
  if ((await table.count(rows)) <= listed) return 0;
  let removed = 0;
  for await (const block of table.read(rows, ['path'])) {
    const gone: string[] = [];
    for (const { path } of block) if (!(await dataset.contains(path))) gone.push(path);
    await table.remove(dataset.root, gone);
    removed += gone.length;
  }
  return removed;
}

/** Removes further views of what a file held before; where they were wanted of what it holds now, they have been put in their place. */
export async function removeStaleViews(dataset: string, table: EmbeddingTable): Promise<void> {
  for await (const block of table.read({ dataset, views: AUGMENTED_VIEWS }, ['path', 'view'])) {
    const known = await table.known([...new Set(block.map(({ path }) => path))], dataset);
    for (const name of AUGMENTED_VIEWS) {
      const stale = block.filter(
        ({ path, view }) => view === name && !known.get(path)?.some((row) => row.view === name),
      );
      await table.remove(
        dataset,
        stale.map(({ path }) => path),
        [name],
      );
    }
  }
}

const ALL_VIEWS: readonly View[] = ['center', ...AUGMENTED_VIEWS];

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
