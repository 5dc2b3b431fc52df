/** Where the pictures of a view lie in the grid: rows of so many columns, and a heading for each group. All in pixels. */
import type { PictureId } from '../../label/protocol.js';
import type { Group, Shown } from './state.js';

/** As in page.css: between cells, around all, below each picture, and of a heading. */
export const [GAP, PADDING, CAPTION, HEADING] = [10, 16, 44, 56];

export interface Row {
  /** Set if the row is a heading. */
  heading: Group | undefined;
  /** Places in the list of pictures. Of a heading, those of its group. */
  start: number;
  end: number;
  top: number;
  height: number;
}

export interface Layout {
  rows: readonly Row[];
  columns: number;
  /** The width of a cell; that of the picture's frame, which is a square. */
  cell: number;
  /** Of a row of pictures, with the gap below it. */
  rowHeight: number;
}

/** @param width of the grid @param size the least width of a cell */
export function layOut({ ids, groups }: Pick<Shown, 'ids' | 'groups'>, width: number, size: number): Layout {
  const inner = Math.max(width - 2 * PADDING, size);
  const columns = Math.max(1, Math.floor((inner + GAP) / (size + GAP)));
  const cell = Math.floor((inner - (columns - 1) * GAP) / columns);
  const rowHeight = cell + CAPTION + GAP;
  const rows: Row[] = [];
  let top = PADDING;
  const add = (row: Omit<Row, 'top'>) => {
    rows.push({ ...row, top });
    top += row.height;
  };
  for (const group of groups ?? [{ start: 0, end: ids.length }]) {
    const { start, end } = group;
    if ('key' in group) add({ heading: group, start, end, height: HEADING });
    for (let at = start; at < end; at += columns) {
      add({ heading: undefined, start: at, end: Math.min(at + columns, end), height: rowHeight });
    }
  }
  return { rows, columns, cell, rowHeight };
}

/** The row with a picture. */
export function rowOf({ rows }: Pick<Layout, 'rows'>, index: number): number {
  return lastRow(rows, ({ start }) => start <= index);
}

/** The place in the list that is so many rows below another (above, if negative), in its column as far as there is one. */
export function below(layout: Pick<Layout, 'rows'>, index: number, by: number): number {
  const { rows } = layout;
  const at = rowOf(layout, index);
  let [found, left] = [at, Math.abs(by)];
  for (let row = at + Math.sign(by); left > 0 && rows[row]; row += Math.sign(by)) {
    if (rows[row]!.heading) continue;
    found = row;
    left--;
  }
  if (found === at) return index;
  const column = index - rows[at]!.start;
  return Math.min(rows[found]!.start + column, rows[found]!.end - 1);
}

export interface Rectangle {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** The pictures whose cells a rectangle touches. */
export function within({ rows, cell }: Layout, ids: Int32Array, { left, top, right, bottom }: Rectangle): PictureId[] {
  const found: PictureId[] = [];
  const firstColumn = Math.max(Math.ceil((left - PADDING - cell) / (cell + GAP)), 0);
  const lastColumn = Math.floor((right - PADDING) / (cell + GAP));
  const first = lastRow(rows, (row) => row.top <= top);
  for (let at = first; at < rows.length && rows[at]!.top <= bottom; at++) {
    const { heading, start, end, top: rowTop, height } = rows[at]!;
    if (heading || rowTop + height - GAP < top) continue;
    found.push(...ids.subarray(Math.min(start + firstColumn, end), Math.min(start + lastColumn + 1, end)));
  }
  return found;
}

/** The last row for which something holds that holds for all before it, too; or the first. */
function lastRow(rows: readonly Row[], holds: (row: Row) => boolean): number {
  let [low, high] = [0, rows.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (holds(rows[middle]!)) low = middle;
    else high = middle - 1;
  }
  return Math.max(low, 0);
}
