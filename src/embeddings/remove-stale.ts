import { FURTHER_VIEWS, type Dataset, type Split } from '../images/index.js';
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
  for await (const block of table.read({ dataset, views: FURTHER_VIEWS }, ['path', 'view'])) {
    const known = await table.known([...new Set(block.map(({ path }) => path))], dataset);
    for (const name of FURTHER_VIEWS) {
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
