import type { Table } from '@lancedb/lancedb';
import type { DataType, Field, Table as ArrowTable } from 'apache-arrow';
import { ContentLookup } from '../embed/reader.js';
import type { View } from '../image/views.js';
import { type BlockOptions, BlockWriter } from './block-writer.js';
import { blocksInStore, inStore, retryConflicts } from './errors.js';
import { conditionOf, isIn, ofFiles, type RowFilter } from './filter.js';
import { arrow, Index } from '../util/lancedb.js';
import { optimize } from './maintenance.js';
import {
  byPath,
  type EmbeddingBlock,
  type EmbeddingRow,
  embeddingsOf,
  embeddingType,
  hasPrimaryKey,
  KEY,
  type KnownRow,
  rowSchema,
  rowsOf,
  type RowStore,
} from './row.js';
import { throughIndex, VectorIndex } from './vector-index.js';

/** Blocks between two compactions; each block is a file and a version of its own until then. */
const FLUSHES_PER_OPTIMIZE = 40;

/** Rows from which an index on paths and digests pays: below, a scan of the column is as fast (measured at 60,000). */
const INDEX_FROM = 100_000;

/** What `nearest` tells of a row. */
const NEAREST_COLUMNS = ['path', 'label', 'labels', 'split', 'sha256', 'width', 'height'];

/** How a table is written to. */
export interface WriteOptions extends BlockOptions {
  /** Whether small files are joined while rows are put. Default: true; of several who write, only one should. */
  compact?: boolean | undefined;
  /** Is handed the writing of each block, to do it when it may be done; where it throws instead, the block is not written. */
  whenAllowed?: ((write: () => Promise<void>) => Promise<void>) | undefined;
}

/**
 * The embeddings of one model and one transform: a LanceDB table with one row for each file of a data set, and further
 * ones for further views of it, which nobody sees who does not ask for them. Rows that are put are written in blocks, each
 * of which is there whole or not at all.
 */
export class EmbeddingTable implements RowStore {
  private readonly contents = new ContentLookup((digests) => this.select(isIn('sha256', digests)));
  private readonly blocks: BlockWriter;
  private flushes = 0;
  private optimized = 0;

  constructor(
    private readonly table: Table,
    /** Of the store, for errors. */
    private readonly location: string,
    readonly modelId: string,
    readonly transformId: string,
    /** Width of the embeddings. */
    readonly width: number,
    private readonly writes: WriteOptions = {},
  ) {
    this.blocks = new BlockWriter((rows) => this.write(rows), writes);
  }

  get name(): string {
    return this.table.name;
  }

  async known(paths: readonly string[], dataset: string): Promise<Map<string, [KnownRow, ...KnownRow[]]>> {
    const columns = rowSchema(this.width)
      .names.map(String)
      .filter((name) => name !== 'embedding' && name !== 'fingerprint');
    return byPath(await this.select(isIn('path', paths), columns), dataset);
  }

  /** As {@link known}, with the embeddings, of some views. */
  async knownWithEmbeddings(
    paths: readonly string[],
    dataset: string,
    views: readonly View[],
  ): Promise<Map<string, [EmbeddingRow, ...EmbeddingRow[]]>> {
    return byPath(await this.select(`${isIn('path', paths)} AND ${isIn('view', views)}`), dataset);
  }

  async knownSizes(sizes: readonly number[]): Promise<Set<number>> {
    const rows = await this.select(`${isIn('size', sizes)} AND sha256 IS NOT NULL`, ['size']);
    return new Set(rows.flatMap(({ size }) => (size === null ? [] : [size])));
  }

  async withContent(sha256: string): Promise<EmbeddingRow[]> {
    const own = this.blocks.unwritten.filter((row) => row.sha256 === sha256);
    const rows = [...(await this.contents.get(sha256)), ...own];
    return [...new Map(rows.map((row) => [row.view, row])).values()];
  }

  /** As {@link BlockWriter.put}. */
  put(row: EmbeddingRow): Promise<void> {
    return this.blocks.put(row);
  }

  /** Writes what was put so far, as {@link BlockWriter.flush}. */
  flush(): Promise<void> {
    return this.blocks.flush();
  }

  private async write(rows: readonly EmbeddingRow[]): Promise<void> {
    const data = rowTable(rows, this.width);
    const merge = async () => {
      await this.table.mergeInsert(KEY).whenMatchedUpdateAll().whenNotMatchedInsertAll().execute(data);
    };
    const write = () => inStore(this.location, () => retryConflicts(merge));
    await (this.writes.whenAllowed?.(write) ?? write());
    this.flushes++;
    const { compact = true } = this.writes;
    if (compact && this.flushes - this.optimized >= FLUSHES_PER_OPTIMIZE) await this.optimize();
  }

  /** Takes in what others have written. */
  async refresh(): Promise<void> {
    await inStore(this.location, () => this.table.checkoutLatest());
    // There may be small files of theirs.
    this.flushes++;
  }

  /** Joins small files, drops old versions and, where the table is large, keeps indexes on paths and digests. */
  async optimize(): Promise<void> {
    if (this.optimized === this.flushes) return;
    this.optimized = this.flushes;
    await inStore(this.location, () => this.compact());
  }

  private async compact(): Promise<void> {
    if ((await this.table.countRows()) >= INDEX_FROM) {
      const indexed = (await this.table.listIndices()).flatMap(({ columns }) => columns);
      for (const column of ['path', 'sha256', 'size'].filter((name) => !indexed.includes(name))) {
        await this.table.createIndex(column, { config: Index.btree() });
      }
    }
    await optimize(this.table);
  }

  /** The index on the embeddings. */
  get vectorIndex(): VectorIndex {
    return new VectorIndex(this.table, this.location, this.width);
  }

  async count(filter: RowFilter = {}): Promise<number> {
    return inStore(this.location, () => this.table.countRows(conditionOf(filter)));
  }

  /**
   * Rows in blocks, in no particular order. Columns that are not asked for, or that an earlier version did not write, come
   * out null or empty.
   */
  async *read(filter: RowFilter, columns: readonly (keyof EmbeddingRow)[]): AsyncGenerator<EmbeddingRow[]> {
    const query = this.table
      .query()
      .where(conditionOf(filter))
      .select(await this.present(columns));
    for await (const batch of blocksInStore(this.location, query)) yield rowsOf(batch);
  }

  /**
   * Paths and embeddings of rows without an error, and where views are asked for these and the contents, in blocks: much
   * faster than {@link read} gives them.
   */
  async *readEmbeddings(filter: RowFilter): AsyncGenerator<EmbeddingBlock> {
    const query = this.table
      .query()
      .where(conditionOf({ ...filter, failed: false }))
      .select(['path', ...(filter.views ? ['view', 'sha256'] : []), 'embedding']);
    for await (const batch of blocksInStore(this.location, query)) yield embeddingsOf(batch, this.width);
  }

  /**
   * The rows whose embeddings are the most similar to a vector, by cosine, the most similar first. Every row is compared,
   * 0.2 to 0.5 s for 50,000 rows of 512 numbers on 2 cores, unless there is an index, see {@link VectorIndex}.
   * @param vector [width], not zero
   * @param options.exact compare every row all the same
   */
  async nearest(
    vector: Float32Array,
    k: number,
    filter: RowFilter = {},
    { exact = false } = {},
  ): Promise<{ row: KnownRow; similarity: number }[]> {
    const query = this.table
      .query()
      .where(conditionOf({ ...filter, failed: false }))
      .nearestTo(vector)
      .distanceType('cosine')
      .select([...(await this.present(NEAREST_COLUMNS)), '_distance'])
      .limit(k);
    const found: { row: KnownRow; similarity: number }[] = [];
    const searched = exact ? query.bypassVectorIndex() : throughIndex(query);
    for await (const batch of blocksInStore(this.location, searched)) {
      rowsOf(batch).forEach((row, i) => {
        const distance: unknown = batch.getChild('_distance')?.get(i);
        // Of equal vectors the distance may come out a little below 0.
        found.push({ row, similarity: Math.min(1, 1 - (typeof distance === 'number' ? distance : NaN)) });
      });
    }
    return found.sort((a, b) => b.similarity - a.similarity);
  }

  /** All rows of these files of a data set, of all views, as they are. */
  async rowsOfFiles(dataset: string, paths: readonly string[]): Promise<EmbeddingRow[]> {
    return this.select(ofFiles(dataset, paths));
  }

  /** Whether Lance knows by which columns rows are told apart, and so lets no two writers insert the same. */
  async hasKey(): Promise<boolean> {
    return hasPrimaryKey(await inStore(this.location, () => this.table.schema()));
  }

  /** Removes the rows of these files of a data set: of all views, or of some. */
  async remove(dataset: string, paths: readonly string[], views?: readonly View[]): Promise<void> {
    if (paths.length === 0) return;
    const ofViews = views ? ` AND ${isIn('view', views)}` : '';
    await inStore(this.location, () => this.table.delete(ofFiles(dataset, paths) + ofViews));
  }

  /** Those of the columns that the table has: an earlier version wrote fewer. */
  private async present(columns: readonly string[]): Promise<string[]> {
    const schema = await inStore(this.location, () => this.table.schema());
    const names = new Set(schema.names.map(String));
    return columns.filter((name) => names.has(name));
  }

  private async select(condition: string, columns?: string[]): Promise<EmbeddingRow[]> {
    let query = this.table.query().where(condition);
    if (columns) query = query.select(columns);
    const rows: EmbeddingRow[] = [];
    for await (const batch of blocksInStore(this.location, query)) rows.push(...rowsOf(batch));
    return rows;
  }
}

/**
 * Rows as an Arrow table, for the store. LanceDB's own `makeArrowTable` takes embeddings apart number by number, which
 * cost ten times as much.
 * @param width of the embeddings
 */
function rowTable(rows: readonly EmbeddingRow[], width: number): ArrowTable {
  const schema = rowSchema(width);
  const children = schema.fields.map((field: Field<DataType>) =>
    field.name === 'embedding' ? embeddingColumn(rows, width) : plainColumn(rows, field),
  );
  const type = new arrow.Struct(schema.fields);
  const data = arrow.makeData({ type, length: rows.length, nullCount: 0, children });
  return new arrow.Table([new arrow.RecordBatch(schema, data)]);
}

function plainColumn(rows: readonly EmbeddingRow[], { name, type }: Field<DataType>) {
  const values = rows.map((row) => row[name as keyof EmbeddingRow]);
  const [column] = arrow.vectorFromArray(values, type).data;
  if (!column) throw new TypeError(`The column ${name} came out empty.`);
  return column;
}

function embeddingColumn(rows: readonly EmbeddingRow[], width: number) {
  const numbers = new Float32Array(rows.length * width);
  const valid = new Uint8Array(Math.ceil(rows.length / 8));
  let nullCount = 0;
  rows.forEach(({ embedding }, i) => {
    if (embedding) {
      numbers.set(embedding, i * width);
      valid[i >> 3]! |= 1 << (i & 7);
    } else nullCount++;
  });
  const child = arrow.makeData({ type: new arrow.Float32(), length: numbers.length, data: numbers });
  const type = embeddingType(width);
  return arrow.makeData({ type, length: rows.length, nullCount, nullBitmap: valid, child });
}

/**
 * Marks the columns of a table's key. Only with it does Lance notice that another writer has inserted the same key at the
 * same time; without, both rows stay (https://github.com/lance-format/lance/pull/5633).
 */
export const PRIMARY_KEY = new Map([['lance-schema:unenforced-primary-key', 'true']]);
