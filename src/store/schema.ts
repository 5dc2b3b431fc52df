import type { DataType, Field, FixedSizeList, Float32, RecordBatch, Schema, Table } from 'apache-arrow';
import { arrow } from '../util/lancedb.js';
import { EMPTY_ROW, type EmbeddingRow } from './row.js';

/** The version of the store's format, which every table has in the metadata of its schema. */
const FORMAT = new Map([['lastlayer:format', '1']]);

/** The schema of a table in the format of this version. */
export function schemaOf(fields: Field[]): Schema {
  return new arrow.Schema(fields, FORMAT);
}

/** Whether a table is in the format of this version. */
export function hasFormat({ metadata }: Pick<Schema, 'metadata'>): boolean {
  return [...FORMAT].every(([key, value]) => metadata.get(key) === value);
}

/**
 * Marks the columns of a table's key. Only then does Lance notice that another writer has inserted the same key at the same
 * time; otherwise both rows stay (https://github.com/lance-format/lance/pull/5633).
 */
export const PRIMARY_KEY = new Map([['lance-schema:unenforced-primary-key', 'true']]);

/** The key of a row, in the order of the schema, which Lance insists on. */
export const KEY = ['path', 'dataset', 'view'];

const COLUMNS = {
  path: new arrow.Utf8(),
  dataset: new arrow.Utf8(),
  label: new arrow.Utf8(),
  labels: new arrow.Utf8(),
  split: new arrow.Utf8(),
  group: new arrow.Utf8(),
  weight: new arrow.Float64(),
  sha256: new arrow.Utf8(),
  size: new arrow.Float64(),
  modified: new arrow.Float64(),
  view: new arrow.Utf8(),
  width: new arrow.Int32(),
  height: new arrow.Int32(),
  fingerprint: new arrow.Binary(),
  model_id: new arrow.Utf8(),
  transform_id: new arrow.Utf8(),
  error: new arrow.Utf8(),
};
const REQUIRED = new Set([...KEY, 'model_id', 'transform_id']);

/** The columns without what is large: those of a `KnownRow`. */
export const SMALL_COLUMNS: string[] = Object.keys(COLUMNS).filter((name) => name !== 'fingerprint');

/** The schema of a table whose embeddings have the given width. */
export function rowSchema(width: number): Schema {
  const plain = Object.entries(COLUMNS).map(
    ([name, type]) => new arrow.Field(name, type, !REQUIRED.has(name), KEY.includes(name) ? PRIMARY_KEY : null),
  );
  return schemaOf([...plain, new arrow.Field('embedding', embeddingType(width), true)]);
}

function embeddingType(width: number): FixedSizeList<Float32> {
  return new arrow.FixedSizeList(width, new arrow.Field('item', new arrow.Float32(), true));
}

/**
 * Rows as an Arrow table. LanceDB's own `makeArrowTable` takes embeddings apart number by number, which took ten times as long.
 * @param width of the embeddings
 */
export function encodeRows(rows: readonly EmbeddingRow[], width: number): Table {
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
  return arrow.vectorFromArray(values, type).data[0]!;
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
  return arrow.makeData({
    type: embeddingType(width),
    length: rows.length,
    nullCount,
    nullBitmap: valid,
    child,
  });
}

/** The rows of a batch. Columns that were not selected are as in {@link EMPTY_ROW}. */
export function decodeRows(batch: RecordBatch): EmbeddingRow[] {
  const rows = Array.from({ length: batch.numRows }, (): Record<string, unknown> => ({ ...EMPTY_ROW }));
  for (const name of batch.schema.names.map(String).filter((column) => column in EMPTY_ROW)) {
    const values = batch.getChild(name)!;
    rows.forEach((row, i) => (row[name] = plain(values.get(i))));
  }
  return rows as unknown as EmbeddingRow[];
}

function plain(value: unknown): unknown {
  if (value instanceof arrow.Vector) return value.toArray();
  // A copy, so that one row does not keep the whole batch in memory.
  return value instanceof Uint8Array ? value.slice() : value;
}

/** Some rows without what training has no use for. */
export interface EmbeddingBlock {
  paths: string[];
  /** Empty, as `digests`, if they were not selected. */
  views: string[];
  /** sha256 of each picture. */
  digests: string[];
  /** [rows × width], row-major; a view of the batch's memory. */
  embeddings: Float32Array;
}

/** A batch of rows that all have embeddings, without making an object of each. */
export function decodeEmbeddings(batch: RecordBatch, width: number): EmbeddingBlock {
  const texts = (name: string): string[] => [...((batch.getChild(name) ?? []) as Iterable<string>)];
  const values: unknown = batch.getChild('embedding')?.data[0]?.children[0]?.values;
  if (!(values instanceof Float32Array)) throw new TypeError('The batch holds no embeddings.');
  const embeddings = values.subarray(0, batch.numRows * width);
  return { paths: texts('path'), views: texts('view'), digests: texts('sha256'), embeddings };
}
