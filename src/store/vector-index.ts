import type { IndexStatistics, Table, VectorQuery } from '@lancedb/lancedb';
import { inStore } from './errors.js';
import { Index } from '../util/lancedb.js';

const COLUMN = 'embedding';

/** Rows from which an index pays: below, comparing all of them takes less than half a second. */
const INDEX_FROM = 50_000;

/** Rows that are in no index yet are compared one by one; from this part of the table on, they are added to it. */
const UNINDEXED = 0.1;

/** Groups of the index that are searched, and how many candidates for each row that is wanted are compared exactly. */
const PROBES = 40;
const REFINE = 20;

/**
 * An index on the embeddings (LanceDB's IVF-PQ), through which a search compares the rows of the most similar groups only, by
 * codes of an eighth as many bytes as there are numbers, and the best candidates by their embeddings: cosines are exact, and what is missed are rows in far groups.
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
   * Builds the index where the table is large and has none, and adds what was put since where that has become much.
   * @param options.from rows from which there is one, 256 or more; default 50,000
   * @param options.onWork called with the number of rows before that, as it takes a while
   * @throws {LastlayerError} where the store cannot be read or written
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

/** An eighth of the width or, where it is no multiple of 8, the largest number below that which divides it. */
function codeBytes(width: number): number {
  let bytes = Math.max(1, Math.floor(width / 8));
  while (width % bytes !== 0) bytes--;
  return bytes;
}

/** A query of the nearest rows, by what the index finds where there is one. */
export function throughIndex(query: VectorQuery): VectorQuery {
  return query.nprobes(PROBES).refineFactor(REFINE);
}
