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
import { LastlayerError, messageOf } from '../util/errors.js';
import { openRegularFile } from '../util/files.js';
import { connect } from '../util/lancedb.js';
import { type DatasetEntry, labelText, type PictureSource, type Split, splitNamed } from './dataset.js';

/** Usual names of the column that holds the pictures, in the order in which they are looked for. */
const PICTURE_COLUMNS = ['image', 'img', 'picture', 'photo', 'jpg', 'jpeg', 'png', 'webp', 'bytes', 'image_bytes'];

/** Optional columns that are read while listing. */
const SIDE_COLUMNS = ['label', 'split'];

type Cells = Record<string, unknown>;

/**
 * The pictures of a Parquet file with a column of encoded pictures: bytes, or structs with `bytes` as Hugging Face's datasets
 * write them, whose class names are used. `label` (text or number) and `split` are optional. A picture is named by its file and
 * row: `/data/0001.parquet#17`.
 * @throws {LastlayerError} if the file is damaged or has no column of pictures
 */
export async function* picturesOfParquet(file: string, split: Split | undefined): AsyncGenerator<DatasetEntry> {
  try {
    const opened = await openParquet(file);
    const [, ...schema] = opened.metadata.schema;
    const { column, side } = columnsOf(
      schema.map(({ name }) => name),
      file,
    );
    const classes = classNames(opened.metadata);
    for (const [start, end] of rowGroups(opened)) {
      const rows = side.length > 0 ? await readParquetRows(opened, side, start, end) : [];
      for (let row = start; row < end; row++) {
        yield {
          path: `${file}#${row}`,
          source: { kind: 'parquet', file, column, row },
          ...labelAndSplit(rows[row - start], split, classes),
        };
      }
    }
  } catch (error) {
    if (error instanceof LastlayerError) throw error;
    throw new LastlayerError(`${file} cannot be read as Parquet: ${messageOf(error)}.`);
  }
}

const ROWS_A_BLOCK = 4096;

/**
 * The pictures of a Lance table, like {@link picturesOfParquet}.
 * @param table a folder whose name ends in .lance
 * @throws {LastlayerError} if it cannot be read or has no column of pictures
 */
export async function* picturesOfLance(table: string): AsyncGenerator<DatasetEntry> {
  try {
    const opened = await openLance(table);
    const { column, side } = columnsOf((await opened.schema()).names.map(String), table);
    const count = await opened.countRows();
    for (let start = 0; start < count; start += ROWS_A_BLOCK) {
      const length = Math.min(ROWS_A_BLOCK, count - start);
      const offsets = Array.from({ length }, (_, i) => start + i);
      const rows = side.length > 0 ? ((await opened.takeOffsets(offsets).select(side).toArray()) as Cells[]) : [];
      for (const [i, row] of offsets.entries()) {
        yield {
          path: `${table}#${row}`,
          source: { kind: 'lance', table, column, row },
          ...labelAndSplit(rows[i], undefined, undefined),
        };
      }
    }
  } catch (error) {
    if (error instanceof LastlayerError) throw error;
    throw new LastlayerError(`${table} cannot be read as a Lance table: ${messageOf(error)}.`);
  }
}

function columnsOf(names: readonly string[], file: string): { column: string; side: string[] } {
  const column = PICTURE_COLUMNS.find((name) => names.includes(name));
  if (column === undefined) {
    throw new LastlayerError(
      `${file} has no column of pictures: one of ${PICTURE_COLUMNS.join(', ')} is expected, with encoded pictures as bytes; it ` +
        `has ${names.join(', ')}.`,
    );
  }
  return { column, side: SIDE_COLUMNS.filter((name) => names.includes(name)) };
}

/** The names of the classes, which Hugging Face's datasets write into the metadata of Parquet files. */
function classNames({ key_value_metadata: pairs }: FileMetaData): string[] | undefined {
  const metadata = pairs?.find(({ key }) => key === 'huggingface')?.value;
  if (metadata === undefined) return undefined;
  const { info } = JSON.parse(metadata) as {
    info?: { features?: { label?: { names?: string[] | undefined } } };
  };
  return info?.features?.label?.names;
}

function labelAndSplit(
  row: Cells = {},
  splitOfFile: Split | undefined,
  classes: readonly string[] | undefined,
): Omit<DatasetEntry, 'path'> {
  const [label, split] = SIDE_COLUMNS.map((name) => textOf(row[name]));
  return {
    label: label === undefined ? undefined : labelText(classes?.[Number(label)] ?? label),
    split: split === undefined ? splitOfFile : splitNamed(split),
  };
}

function textOf(value: unknown): string | undefined {
  return labelText(value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : value);
}

/** Row groups whose pictures are kept in memory. Pictures are read in order, so earlier groups are soon done with. */
const GROUPS_KEPT = 2;

/** Values of a column of a row group, by file, column and first row; the oldest first. */
const groups = new Map<string, Promise<unknown[]>>();
const files = new Map<string, Promise<ParquetFile>>();

/** The bytes of a picture. @throws {Error} if the cell holds none */
export async function readParquetCell({
  file: path,
  column,
  row,
}: Extract<PictureSource, { kind: 'parquet' }>): Promise<Uint8Array> {
  const file = await cached(files, path, () => openParquet(path));
  const group = rowGroups(file).find(([start, end]) => row >= start && row < end);
  if (!group) throw new LastlayerError(`${path} has no row ${row}`);
  const values = cached(groups, JSON.stringify([path, column, group[0]]), async () => {
    const rows = await readParquetRows(file, [column], ...group);
    return rows.map((cells) => cells[column]);
  });
  const [oldest] = groups.keys();
  if (groups.size > GROUPS_KEPT && oldest !== undefined) groups.delete(oldest);
  return bytesOf((await values)[row - group[0]]);
}

interface ParquetFile {
  buffer: AsyncBuffer;
  metadata: FileMetaData;
}

async function openParquet(path: string): Promise<ParquetFile> {
  await (await openRegularFile(path)).close();
  const buffer = await asyncBufferFromFile(path);
  return { buffer, metadata: await parquetMetadataAsync(buffer) };
}

/** The first row of each row group, and the row after its last. */
function rowGroups({ metadata }: ParquetFile): [number, number][] {
  let start = 0;
  return metadata.row_groups.map(({ num_rows }) => [start, (start += Number(num_rows))]);
}

/** The cells of some columns in rows `rowStart` … `rowEnd - 1`; text is given as bytes. */
async function readParquetRows(
  { buffer, metadata }: ParquetFile,
  columns: string[],
  rowStart: number,
  rowEnd: number,
): Promise<Cells[]> {
  return parquetReadObjects({ file: buffer, metadata, columns, rowStart, rowEnd, compressors, utf8: false });
}

const tables = new Map<string, Promise<Table>>();

/** The bytes of a picture. @throws {Error} if the cell holds none */
export async function readLanceCell({
  table,
  column,
  row,
}: Extract<PictureSource, { kind: 'lance' }>): Promise<Uint8Array> {
  const opened = await openLance(table);
  const [found] = (await opened.takeOffsets([row]).select([column]).toArray()) as Cells[];
  return bytesOf(found?.[column]);
}

function openLance(path: string): Promise<Table> {
  return cached(tables, path, async () => (await connect(dirname(path))).openTable(basename(path, '.lance')));
}

/** What a map holds under a key. Makes it if it is absent, and forgets it if that fails. */
function cached<T>(map: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  let made = map.get(key);
  if (!made) {
    made = make();
    made.catch(() => map.delete(key));
    map.set(key, made);
  }
  return made;
}

/** The bytes of a cell: the cell itself, or `bytes` of a struct as Hugging Face's datasets write it. */
function bytesOf(cell: unknown): Uint8Array {
  if (cell instanceof Uint8Array) return cell;
  const inner: unknown = typeof cell === 'object' && cell !== null && 'bytes' in cell ? cell.bytes : undefined;
  if (inner instanceof Uint8Array) return inner;
  throw new LastlayerError('its cell holds no bytes');
}
