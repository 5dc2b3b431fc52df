import { basename, dirname } from 'node:path';
import { connect, type Table } from '../../lancedb.js';
import { bytesOf } from './parquet.js';

const tables = new Map<string, Promise<Table>>();

/** Opens a Lance table, which is a folder whose name ends in .lance. */
export async function openLance(path: string): Promise<Table> {
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
