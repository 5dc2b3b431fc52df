import type { IndexStatistics, Table, VectorQuery } from '@lancedb/lancedb';
import { Index } from '../util/lancedb.js';
import { inStore } from './errors.js';

const COLUMN = 'embedding';

/** With fewer rows, comparing all of them takes less than half a second. */
const INDEX_FROM = 50_000;

/** Rows that are not in the index yet are compared one by one. Once they exceed this fraction of the table, they are added to it. */
const UNINDEXED = 0.1;

/** Groups of the index to search; candidates to compare exactly per row that is wanted, and at least in all. */
const PROBES = 40;
const REFINE = 20;
const LEAST_CANDIDATES = 200;

/**
 * An index on the embeddings (LanceDB's IVF-PQ). Within the most similar groups of rows, a search compares codes of one byte for
 * every 8 numbers, and then the embeddings of the best candidates. So cosines are exact, and all that it may miss are rows of
 * other groups.
 */
export class VectorIndex {
  /**
   * @param location of the store, for errors
   * @param width of the embeddings
   */
  constructor(
    private readonly table: Table,
    private readonly location: string,
    private readonly width: number,
  ) {}

  /**
   * Builds the index if the table is large and has none, and adds new rows to it once they are many.
   * @param options.from rows from which a table is large; at least 256. @default 50,000
   * @param options.onWork called with the number of rows before they are indexed, which takes a while
   * @throws {LastlayerError} if the store cannot be read or written
   */
  async bringUpToDate(
    options: { from?: number | undefined; onWork?: ((rows: number) => void) | undefined } = {},
  ): Promise<void> {
    await inStore(this.location, () => this.update(options.from ?? INDEX_FROM, options.onWork));
  }

  private async update(from: number, onWork?: (rows: number) => void): Promise<void> {
    const rows = await this.table.countRows('embedding IS NOT NULL');
    if (rows < from) return;
    const found = await this.statistics();
    if (!found) {
      onWork?.(rows);
      const config = Index.ivfPq({ distanceType: 'cosine', numSubVectors: codeBytes(this.width) });
      await this.table.createIndex(COLUMN, { config });
    } else if (found.numUnindexedRows > UNINDEXED * rows) {
      onWork?.(found.numUnindexedRows);
      await this.table.optimize();
    }
  }

  private async statistics(): Promise<IndexStatistics | undefined> {
    const indices = await this.table.listIndices();
    const index = indices.find(({ columns }) => columns.includes(COLUMN));
    return index && this.table.indexStats(index.name);
  }
}

/** The largest divisor of the width that is at most an eighth of it. */
function codeBytes(width: number): number {
  let bytes = Math.max(1, Math.floor(width / 8));
  while (width % bytes !== 0) bytes--;
  return bytes;
}

/** Has a query for the `k` nearest rows use the index, if there is one. */
export function throughIndex(query: VectorQuery, k: number): VectorQuery {
  return query.nprobes(PROBES).refineFactor(Math.max(REFINE, Math.ceil(LEAST_CANDIDATES / k)));
}
