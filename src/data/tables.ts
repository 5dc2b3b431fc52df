import { basename, dirname } from 'node:path';
import type { Table } from '@lancedb/lancedb';
import {
  type AsyncBuffer,
  asyncBufferFromFile,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { connect } from '../store/lancedb.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { openRegularFile } from '../util/files.js';
import { type DatasetEntry, type Split, splitNamed } from './dataset.js';

/** Columns that hold pictures, as they are named mostly, in the order in which they are looked for. */
const PICTURE_COLUMNS = [
  'image',
  'img',
  'picture',
  'photo',
  'jpg',
  'jpeg',
  'png',
  'webp',
  'bytes',
  'image_bytes',
];

const ROWS_A_BLOCK = 4096;

/** What a table says of its pictures beside them. */
const SIDE_COLUMNS = ['label', 'split'];

/**
 * The pictures of a Parquet file with a column of encoded pictures: bytes, or structs with `bytes`, as Hugging Face's datasets
 * write them, whose class names are used. `label` (text or number) and `split` are optional. A picture is named by its file and
 * row: `/data/0001.parquet#17`.
 * @throws {LastlayerError} where the file is damaged or has no column of pictures
 */
export async function* picturesOfParquet(
  file: string,
  split: Split | undefined,
): AsyncGenerator<DatasetEntry> {
  try {
    const opened = await openParquet(file);
    const [, ...schema] = opened.metadata.schema;
    const names = schema.map(({ name }) => name);
    const column = pictureColumn(names, file);
    const side = SIDE_COLUMNS.filter((name) => names.includes(name));
    const classes = classNames(
      opened.metadata.key_value_metadata?.find(({ key }) => key === 'huggingface')?.value,
    );
    for (const [start, end] of rowGroups(opened)) {
      const rows = side.length > 0 ? await readParquetRows(opened, side, start, end) : [];
      for (let row = start; row < end; row++) {
        yield {
          path: `${file}#${row}`,
          source: { kind: 'parquet', file, column, row },
          ...listedIn(rows[row - start] ?? {}, split, classes),
        };
      }
    }
  } catch (error) {
    if (error instanceof LastlayerError) throw error;
    throw new LastlayerError(`${file} cannot be read as Parquet: ${messageOf(error)}.`);
  }
}

/**
 * The pictures of a Lance table, as {@link picturesOfParquet}.
 * @param table a folder whose name ends in .lance
 * @throws {LastlayerError} where it cannot be read or has no column of pictures
 */
export async function* picturesOfLance(table: string): AsyncGenerator<DatasetEntry> {
  try {
    const opened = await openLance(table);
    const names = (await opened.schema()).names.map(String);
    const column = pictureColumn(names, table);
    const side = SIDE_COLUMNS.filter((name) => names.includes(name));
    const count = await opened.countRows();
    for (let start = 0; start < count; start += ROWS_A_BLOCK) {
      const length = Math.min(ROWS_A_BLOCK, count - start);
      const offsets = Array.from({ length }, (_, i) => start + i);
      const rows = side.length > 0 ? await opened.takeOffsets(offsets).select(side).toArray() : [];
      for (const [i, row] of offsets.entries()) {
        yield {
          path: `${table}#${row}`,
          source: { kind: 'lance', table, column, row },
          ...listedIn((rows[i] ?? {}) as Record<string, unknown>, undefined, undefined),
        };
      }
    }
  } catch (error) {
    if (error instanceof LastlayerError) throw error;
    throw new LastlayerError(`${table} cannot be read as a Lance table: ${messageOf(error)}.`);
  }
}

function pictureColumn(names: readonly string[], file: string): string {
  const found = PICTURE_COLUMNS.find((name) => names.includes(name));
  if (found !== undefined) return found;
  throw new LastlayerError(
    `${file} has no column of pictures: one of ${PICTURE_COLUMNS.join(', ')} is expected, with encoded pictures as bytes; it ` +
      `has ${names.join(', ')}.`,
  );
}

function listedIn(
  row: Record<string, unknown>,
  ofFolder: Split | undefined,
  classes: readonly string[] | undefined,
): Omit<DatasetEntry, 'path'> {
  const [label, named] = SIDE_COLUMNS.map((name) => textOf(row[name]));
  const split = named === undefined ? ofFolder : splitNamed(named);
  return {
    ...(label !== undefined && { label: classes?.[Number(label)] ?? label }),
    split,
  };
}

function textOf(value: unknown): string | undefined {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint')
    return String(value);
  return undefined;
}

/** The names of the classes in the metadata that Hugging Face's datasets write into Parquet files. */
function classNames(metadata: string | undefined): string[] | undefined {
  if (metadata === undefined) return undefined;
  const { info } = JSON.parse(metadata) as {
    info?: { features?: { label?: { names?: string[] | undefined } } };
  };
  return info?.features?.label?.names;
}

/** Groups of rows of which the pictures are kept: pictures are read in their order, so soon nobody needs the earlier ones. */
const GROUPS_KEPT = 2;

/** Values of a column of a group of rows, by file, column and first row; the oldest first. */
const groups = new Map<string, Promise<unknown[]>>();
const files = new Map<string, Promise<ParquetFile>>();

/** An open Parquet file. */
interface ParquetFile {
  buffer: AsyncBuffer;
  metadata: FileMetaData;
}

/** @throws {Error} where it is no Parquet file */
async function openParquet(path: string): Promise<ParquetFile> {
  await (await openRegularFile(path)).close();
  const buffer = await asyncBufferFromFile(path);
  return { buffer, metadata: await parquetMetadataAsync(buffer) };
}

/** The values of some columns of a stretch of rows; binary ones as bytes. */
async function readParquetRows(
  { buffer, metadata }: ParquetFile,
  columns: string[],
  rowStart: number,
  rowEnd: number,
): Promise<Record<string, unknown>[]> {
  return parquetReadObjects({
    file: buffer,
    metadata,
    columns,
    rowStart,
    rowEnd,
    compressors,
    utf8: false,
  });
}

/** The first row of each group of rows and the row after its last. */
function rowGroups({ metadata }: ParquetFile): [number, number][] {
  let start = 0;
  return metadata.row_groups.map(({ num_rows }) => [start, (start += Number(num_rows))]);
}

/** A picture's bytes. @throws {Error} where the cell holds none */
export async function readParquetCell(source: {
  file: string;
  column: string;
  row: number;
}): Promise<Uint8Array> {
  const { file: path, column, row } = source;
  let opened = files.get(path);
  if (!opened) files.set(path, (opened = openParquet(path)));
  const file = await opened;
  const group = rowGroups(file).find(([start, end]) => row >= start && row < end);
  if (!group) throw new LastlayerError(`${path} has no row ${row}`);
  const key = JSON.stringify([path, column, group[0]]);
  let values = groups.get(key);
  if (!values) {
    values = readParquetRows(file, [column], ...group).then((rows) => rows.map((cells) => cells[column]));
    values.catch(() => groups.delete(key));
    groups.set(key, values);
    const [oldest] = groups.keys();
    if (groups.size > GROUPS_KEPT && oldest !== undefined) groups.delete(oldest);
  }
  return bytesOf((await values)[row - group[0]]);
}

/** The bytes of a cell: as they are, or of a struct with `bytes`, as Hugging Face's datasets write it. */
function bytesOf(cell: unknown): Uint8Array {
  if (cell instanceof Uint8Array) return cell;
  const inner: unknown =
    typeof cell === 'object' && cell !== null && 'bytes' in cell ? cell.bytes : undefined;
  if (inner instanceof Uint8Array) return inner;
  throw new LastlayerError('its cell holds no bytes');
}

const tables = new Map<string, Promise<Table>>();

/** Opens a Lance table, which is a folder whose name ends in .lance. */
async function openLance(path: string): Promise<Table> {
  let table = tables.get(path);
  if (!table) {
    table = connect(dirname(path)).then((database) => database.openTable(basename(path, '.lance')));
    table.catch(() => tables.delete(path));
    tables.set(path, table);
  }
  return table;
}

/** A picture's bytes. @throws {Error} where the cell holds none */
export async function readLanceCell(source: {
  table: string;
  column: string;
  row: number;
}): Promise<Uint8Array> {
  const { table, column, row } = source;
  const opened = await openLance(table);
  const [found] = (await opened.takeOffsets([row]).select([column]).toArray()) as Record<string, unknown>[];
  return bytesOf(found?.[column]);
}
