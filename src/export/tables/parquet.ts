import { fileWriter, ParquetWriter, type SchemaElement } from 'hyparquet-writer';
import type { ExportedRow, StoredRows } from './stored-rows.js';

/** Rows that are written, and later read, together: 8 MB of embeddings of width 512. */
const GROUP = 4096;

/**
 * Writes the rows as a Parquet file with the columns `path`, `label` or `labels` (a list), `split` and `embedding` (a list of
 * float32); model, transform and data set are in its metadata.
 */
export async function writeParquet(file: string, rows: StoredRows): Promise<void> {
  const { model_id, transform_id, dataset } = rows.record;
  const writer = new ParquetWriter({
    writer: fileWriter(file),
    schema: schemaOf(rows.hasLists),
    // Embeddings do not get smaller.
    codec: 'UNCOMPRESSED',
    kvMetadata: Object.entries({ model_id, transform_id, dataset }).map(([key, value]) => ({ key, value })),
  });
  let group: ExportedRow[] = [];
  const write = async () => {
    if (group.length > 0)
      await writer.write({ columnData: columnsOf(group, rows.hasLists), rowGroupSize: group.length });
    group = [];
  };
  for await (const block of rows.blocks()) {
    group.push(...block);
    if (group.length >= GROUP) await write();
  }
  await write();
  await writer.finish();
}

function schemaOf(hasLists: boolean): SchemaElement[] {
  const text = { type: 'BYTE_ARRAY', converted_type: 'UTF8' } as const;
  return [
    { name: 'schema', num_children: 4 },
    { name: 'path', ...text, repetition_type: 'REQUIRED' },
    ...(hasLists
      ? listOf('labels', { name: 'element', ...text, repetition_type: 'REQUIRED' })
      : [{ name: 'label', ...text, repetition_type: 'OPTIONAL' } as const]),
    { name: 'split', ...text, repetition_type: 'OPTIONAL' },
    ...listOf('embedding', { name: 'element', type: 'FLOAT', repetition_type: 'REQUIRED' }),
  ];
}

/** A list in three levels (github.com/apache/parquet-format, LogicalTypes.md, "Lists"). */
function listOf(name: string, element: SchemaElement): SchemaElement[] {
  return [
    { name, converted_type: 'LIST', num_children: 1, repetition_type: 'OPTIONAL' },
    { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
    element,
  ];
}

function columnsOf(rows: readonly ExportedRow[], hasLists: boolean) {
  return [
    { name: 'path', data: rows.map(({ path }) => path) },
    hasLists
      ? { name: 'labels', data: rows.map(({ labels }) => labels) }
      : { name: 'label', data: rows.map(({ label }) => label) },
    { name: 'split', data: rows.map(({ split }) => split) },
    {
      name: 'embedding',
      data: rows.map(({ embedding }) => Array.from(embedding)),
      encoding: 'PLAIN' as const,
    },
  ];
}
