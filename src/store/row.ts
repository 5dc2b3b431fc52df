import type { FixedSizeList, Float32, RecordBatch, Schema } from 'apache-arrow';
import type { DatasetEntry } from '../data/dataset.js';
import type { Fingerprint } from '../image/fingerprint.js';
import { arrow } from '../util/lancedb.js';
import { PRIMARY_KEY } from './table.js';

/** One picture of a data set, or a further view of it, as the store keeps it. */
export interface EmbeddingRow {
  /** Absolute path of the file. */
  path: string;
  /** Absolute path of the folder or manifest that lists the picture. With `path` and `view`, the key. */
  dataset: string;
  label: string | null;
  /** All that the picture shows, as the JSON text of a list of texts, where its data set has such lists. */
  labels: string | null;
  split: string | null;
  /** What else of the data set has to stay on the same side of a split. */
  group: string | null;
  /** In training, above 0; null for 1. */
  weight: number | null;
  /** Of the file's bytes; null where they could not be read. */
  sha256: string | null;
  /** Bytes; null where there was no file. */
  size: number | null;
  /** Time of the last change, in milliseconds since 1970; null where there was no file. */
  modified: number | null;
  /** Which view of the picture was embedded; `center` is the transform's own crop. */
  view: string;
  /** Pixels, upright; null where the picture could not be decoded. */
  width: number | null;
  height: number | null;
  /** [feature width]; null where there is an error. */
  embedding: Float32Array | null;
  /** See `fingerprintOf`; null where there is an error, or an earlier version wrote the row. */
  fingerprint: Fingerprint | null;
  model_id: string;
  transform_id: string;
  /** Why there is no embedding. */
  error: string | null;
}

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
const REQUIRED = new Set(['path', 'dataset', 'view', 'model_id', 'transform_id']);

/** The columns that tell rows apart, in the order of the schema, without which Lance does not know the key by it. */
export const KEY = ['path', 'dataset', 'view'];

/** What a data set says of a picture, as its row keeps it. */
export function listedAs({ label, labels, split, group, weight }: DatasetEntry) {
  return {
    label: label ?? null,
    labels: labels ? JSON.stringify(labels) : null,
    split: split ?? null,
    group: group ?? null,
    weight: weight ?? null,
  };
}

/** A picture of a data set, and its file as it is on disk, where there is one. */
export interface RowSubject {
  entry: DatasetEntry;
  size: number | null;
  modified: number | null;
}

/** A row of a picture: what its data set says of it, and what was found. */
export function rowOf(
  { entry, size, modified }: RowSubject,
  dataset: string,
  { id, transformId }: { id: string; transformId: string },
  found: Partial<EmbeddingRow>,
): EmbeddingRow {
  return {
    path: entry.path,
    dataset,
    ...listedAs(entry),
    sha256: null,
    size,
    modified,
    view: 'center',
    width: null,
    height: null,
    embedding: null,
    fingerprint: null,
    model_id: id,
    transform_id: transformId,
    error: null,
    ...found,
  };
}

/** The list that the column `labels` holds as text; empty where it holds none. */
export function labelsIn(text: string | null): readonly string[] {
  const list: unknown = text === null ? [] : JSON.parse(text);
  return Array.isArray(list) ? list.filter((label) => typeof label === 'string') : [];
}

/** The Arrow schema of a table whose embeddings have the given width. */
export function rowSchema(width: number): Schema {
  const plain = Object.entries(COLUMNS).map(
    ([name, type]) =>
      new arrow.Field(name, type, !REQUIRED.has(name), KEY.includes(name) ? PRIMARY_KEY : null),
  );
  return new arrow.Schema([...plain, new arrow.Field('embedding', embeddingType(width), true)]);
}

/** The Arrow type of an embedding of the given width. */
export function embeddingType(width: number): FixedSizeList<Float32> {
  return new arrow.FixedSizeList(width, new arrow.Field('item', new arrow.Float32(), true));
}

/** Whether a table with this schema may be written to by several at the same time. */
export function hasPrimaryKey({ fields }: Pick<Schema, 'fields'>): boolean {
  const [mark = ''] = PRIMARY_KEY.keys();
  return KEY.every((name) => fields.some((field) => field.name === name && field.metadata.has(mark)));
}

/** Rows out of what a query gave; columns that were not selected are null, or empty where null is no value. */
export function rowsOf(batch: RecordBatch): EmbeddingRow[] {
  return Array.from({ length: batch.numRows }, (_, i) => ({
    path: text(batch, 'path', i) ?? '',
    dataset: text(batch, 'dataset', i) ?? '',
    label: text(batch, 'label', i),
    labels: text(batch, 'labels', i),
    split: text(batch, 'split', i),
    group: text(batch, 'group', i),
    weight: number(batch, 'weight', i),
    sha256: text(batch, 'sha256', i),
    size: number(batch, 'size', i),
    modified: number(batch, 'modified', i),
    view: text(batch, 'view', i) ?? '',
    width: number(batch, 'width', i),
    height: number(batch, 'height', i),
    embedding: embedding(batch, i),
    fingerprint: bytes(batch, 'fingerprint', i),
    model_id: text(batch, 'model_id', i) ?? '',
    transform_id: text(batch, 'transform_id', i) ?? '',
    error: text(batch, 'error', i),
  }));
}

/** Some rows of which only this is wanted. */
export interface EmbeddingBlock {
  paths: string[];
  views: string[];
  /** sha256 of each picture. */
  contents: string[];
  /** [rows × width], row-major: memory of the batch. */
  embeddings: Float32Array;
}

/** The columns out of what a query gave, embeddings without an object for each. */
export function embeddingsOf(batch: RecordBatch, width: number): EmbeddingBlock {
  const column = (name: string) =>
    Array.from({ length: batch.numRows }, (_, i) => text(batch, name, i) ?? '');
  const values: unknown = batch.getChild('embedding')?.data[0]?.children[0]?.values;
  if (!(values instanceof Float32Array)) throw new TypeError('The batch holds no embeddings.');
  const embeddings = values.subarray(0, batch.numRows * width);
  return { paths: column('path'), views: column('view'), contents: column('sha256'), embeddings };
}

function text(batch: RecordBatch, column: string, i: number): string | null {
  const value: unknown = batch.getChild(column)?.get(i);
  return typeof value === 'string' ? value : null;
}

function number(batch: RecordBatch, column: string, i: number): number | null {
  const value: unknown = batch.getChild(column)?.get(i);
  return typeof value === 'number' ? value : null;
}

function bytes(batch: RecordBatch, column: string, i: number): Uint8Array | null {
  const value: unknown = batch.getChild(column)?.get(i);
  // A copy, so that one row does not keep the whole batch in memory.
  return value instanceof Uint8Array ? value.slice() : null;
}

function embedding(batch: RecordBatch, i: number): Float32Array | null {
  const value: unknown = batch.getChild('embedding')?.get(i);
  const values: unknown = value instanceof arrow.Vector ? value.toArray() : undefined;
  return values instanceof Float32Array ? values : null;
}

/** What a row must have to be found again, without what is large. */
export type KnownRow = Omit<EmbeddingRow, 'embedding' | 'fingerprint'>;

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
