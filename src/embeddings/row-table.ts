import type { DataType, Field, Table } from 'apache-arrow';
import { arrow } from './arrow.js';
import { embeddingType, rowSchema, type EmbeddingRow } from './row.js';

/**
 * Rows as an Arrow table, for the store. LanceDB's own `makeArrowTable` takes embeddings apart number by number, which
 * cost ten times as much.
 * @param width of the embeddings
 */
export function rowTable(rows: readonly EmbeddingRow[], width: number): Table {
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
      valid[i >> 3] = (valid[i >> 3] ?? 0) | (1 << (i & 7));
    } else nullCount++;
  });
  const child = arrow.makeData({ type: new arrow.Float32(), length: numbers.length, data: numbers });
  const type = embeddingType(width);
  return arrow.makeData({ type, length: rows.length, nullCount, nullBitmap: valid, child });
}
