import type { EmbeddingRow } from './row.js';

/** What a row must have to be found again, without what is large. */
export type KnownRow = Omit<EmbeddingRow, 'embedding' | 'look'>;

/** Where pictures are looked up and their rows are put. */
export interface RowStore<Row extends KnownRow = KnownRow> {
  /**
   * The rows of these files, by path: those of the given data set where it has them, else those of another one; the center
   * view's first, then those of further views of the same content. Files without a row are left out.
   */
  known(paths: readonly string[], dataset: string): Promise<Map<string, [Row, ...Row[]]>>;
  /** Of the given file sizes, those of files whose content is known. */
  knownSizes(sizes: readonly number[]): Promise<Set<number>>;
  /** A row, embedding included, for each view that is known of a file with this content. */
  withContent(sha256: string): Promise<EmbeddingRow[]>;
  /** Takes a row in place of the file's earlier one of the same view in the same data set. */
  put(row: EmbeddingRow): Promise<void>;
}

/** Rows by path, those of the given data set before others; further views only where they are of the center's content. */
export function byPath<Row extends KnownRow>(
  rows: readonly Row[],
  dataset: string,
): Map<string, [Row, ...Row[]]> {
  const found = new Map<string, [Row, ...Row[]]>();
  for (const row of rows) {
    if (row.view === 'center' && (row.dataset === dataset || !found.has(row.path)))
      found.set(row.path, [row]);
  }
  for (const row of rows) {
    const ofPicture = found.get(row.path);
    const [center] = ofPicture ?? [];
    if (row.view !== 'center' && row.dataset === center?.dataset && row.sha256 === center.sha256) {
      ofPicture?.push(row);
    }
  }
  return found;
}
