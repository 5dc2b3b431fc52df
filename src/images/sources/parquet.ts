import {
  asyncBufferFromFile,
  parquetMetadataAsync,
  parquetReadObjects,
  type AsyncBuffer,
  type FileMetaData,
} from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { LastlayerError } from '../../errors.js';
import { openRegularFile } from '../../regular-file.js';

/** Groups of rows of which the pictures are kept: pictures are read in their order, so soon nobody needs the earlier ones. */
const GROUPS_KEPT = 2;

/** Values of a column of a group of rows, by file, column and first row; the oldest first. */
const groups = new Map<string, Promise<unknown[]>>();
const files = new Map<string, Promise<ParquetFile>>();

/** An open Parquet file. */
export interface ParquetFile {
  buffer: AsyncBuffer;
  metadata: FileMetaData;
}

/** @throws {Error} where it is no Parquet file */
export async function openParquet(path: string): Promise<ParquetFile> {
  await (await openRegularFile(path)).close();
  const buffer = await asyncBufferFromFile(path);
  return { buffer, metadata: await parquetMetadataAsync(buffer) };
}

/** The values of some columns of a stretch of rows; binary ones as bytes. */
export async function readParquetRows(
  { buffer, metadata }: ParquetFile,
  columns: string[],
  rowStart: number,
  rowEnd: number,
): Promise<Record<string, unknown>[]> {
  return parquetReadObjects({
    ...{ file: buffer, metadata, columns, rowStart, rowEnd, compressors, utf8: false },
  });
}

/** The first row of each group of rows and the row after its last. */
export function rowGroups({ metadata }: ParquetFile): [number, number][] {
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
export function bytesOf(cell: unknown): Uint8Array {
  if (cell instanceof Uint8Array) return cell;
  const inner: unknown =
    typeof cell === 'object' && cell !== null && 'bytes' in cell ? cell.bytes : undefined;
  if (inner instanceof Uint8Array) return inner;
  throw new LastlayerError('its cell holds no bytes');
}
