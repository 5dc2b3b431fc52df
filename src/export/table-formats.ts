import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileWriter, ParquetWriter, type SchemaElement } from 'hyparquet-writer';
import type { DatasetRecord } from '../store/store.js';
import { csvLine, labelList } from '../util/format.js';

/** A picture and its embedding. */
export interface ExportedRow {
  /** Absolute path of the file. */
  path: string;
  label: string | null;
  /** Everything that the picture shows, if its data set has several labels a picture. */
  labels: readonly string[] | null;
  split: string | null;
  /** [width] */
  embedding: Float32Array;
}

/** The embedded pictures of a data set, in the order of the store. */
export interface ExportedRows {
  record: DatasetRecord;
  count: number;
  /** Whether pictures have a list of labels rather than one label. */
  multilabel: boolean;
  blocks: () => AsyncGenerator<ExportedRow[]>;
}

/** Writes paths, labels and splits as a manifest that `embed` takes, in the order of the embeddings. */
export async function writeManifest(file: string, rows: ExportedRows): Promise<void> {
  await pipeline(Readable.from(linesOf(rows)), createWriteStream(file));
}

async function* linesOf({ multilabel, blocks }: ExportedRows): AsyncGenerator<string> {
  yield csvLine(['path', multilabel ? 'labels' : 'label', 'split']);
  for await (const block of blocks()) {
    for (const { path, label, labels, split } of block) {
      yield csvLine([path, multilabel ? labelList(labels ?? []) : label, split]);
    }
  }
}

/** Enough digits to distinguish any two float32 numbers. */
const DIGITS = 9;

/** Writes the rows as an array of objects, one per line: `path`, `label` or `labels`, `split`, `embedding`. */
export async function writeJson(file: string, rows: ExportedRows): Promise<void> {
  await pipeline(Readable.from(textOf(rows)), createWriteStream(file));
}

async function* textOf({ blocks, multilabel }: ExportedRows): AsyncGenerator<string> {
  let before = '[\n';
  for await (const block of blocks()) {
    for (const row of block) {
      yield before + JSON.stringify(objectOf(row, multilabel));
      before = ',\n';
    }
  }
  yield '\n]\n';
}

function objectOf({ path, label, labels, split, embedding }: ExportedRow, multilabel: boolean): object {
  return {
    path,
    ...(multilabel ? { labels } : { label }),
    split,
    embedding: Array.from(embedding, (value) => Number(value.toPrecision(DIGITS))),
  };
}

/**
 * Writes the embeddings as a NumPy array, float32 [rows, width] in C order. Format 1.0: magic, length of the header, header
 * padded to 64 bytes, values (numpy.org, "numpy.lib.format"). Own code, because the writers on npm need the whole array in
 * memory.
 */
export async function writeNpy(file: string, rows: ExportedRows): Promise<void> {
  await pipeline(Readable.from(bytesOf(rows)), createWriteStream(file));
}

async function* bytesOf({ count, record: { width }, blocks }: ExportedRows): AsyncGenerator<Uint8Array> {
  yield npyHeader(count, width);
  for await (const block of blocks()) {
    for (const { embedding } of block) {
      yield new Uint8Array(embedding.buffer, embedding.byteOffset, embedding.byteLength);
    }
  }
}

function npyHeader(rows: number, width: number): Buffer {
  const description = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${width}), }`;
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, 0, 0]);
  const length = Math.ceil((start.length + description.length + 1) / 64) * 64 - start.length;
  start.writeUInt16LE(length, start.length - 2);
  return Buffer.concat([start, Buffer.from(`${description.padEnd(length - 1)}\n`)]);
}

/** Rows in a row group: 8 MB of embeddings of width 512. */
const GROUP = 4096;

/**
 * Writes the rows as a Parquet file with the columns `path`, `label` or `labels` (a list), `split` and `embedding` (a list of
 * float32). Its metadata name the model, the transform and the data set.
 */
export async function writeParquet(file: string, rows: ExportedRows): Promise<void> {
  const { model_id, transform_id, dataset } = rows.record;
  const writer = new ParquetWriter({
    writer: fileWriter(file),
    schema: schemaOf(rows.multilabel),
    // Embeddings do not compress.
    codec: 'UNCOMPRESSED',
    kvMetadata: Object.entries({ model_id, transform_id, dataset }).map(([key, value]) => ({ key, value })),
  });
  let group: ExportedRow[] = [];
  const write = async () => {
    if (group.length === 0) return;
    await writer.write({ columnData: columnsOf(group, rows.multilabel), rowGroupSize: group.length });
    group = [];
  };
  for await (const block of rows.blocks()) {
    group.push(...block);
    if (group.length >= GROUP) await write();
  }
  await write();
  await writer.finish();
}

function schemaOf(multilabel: boolean): SchemaElement[] {
  const text = { type: 'BYTE_ARRAY', converted_type: 'UTF8' } as const;
  return [
    { name: 'schema', num_children: 4 },
    { name: 'path', ...text, repetition_type: 'REQUIRED' },
    ...(multilabel
      ? listOf('labels', { name: 'element', ...text, repetition_type: 'REQUIRED' })
      : [{ name: 'label', ...text, repetition_type: 'OPTIONAL' } as const]),
    { name: 'split', ...text, repetition_type: 'OPTIONAL' },
    ...listOf('embedding', { name: 'element', type: 'FLOAT', repetition_type: 'REQUIRED' }),
  ];
}

/** A list takes three levels (github.com/apache/parquet-format, LogicalTypes.md, "Lists"). */
function listOf(name: string, element: SchemaElement): SchemaElement[] {
  return [
    { name, converted_type: 'LIST', num_children: 1, repetition_type: 'OPTIONAL' },
    { name: 'list', num_children: 1, repetition_type: 'REPEATED' },
    element,
  ];
}

function columnsOf(rows: readonly ExportedRow[], multilabel: boolean) {
  return [
    { name: 'path', data: rows.map(({ path }) => path) },
    multilabel
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
