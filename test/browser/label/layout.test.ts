import { below, layOut, rowOf, within } from '../../../src/browser/label/layout.js';

const ids = Int32Array.from({ length: 10 }, (_, i) => 100 + i);
const group = (start: number, end: number) => ({ title: '', suggestion: undefined, key: start, start, end });
/** Three columns of 100 pixels: two margins of 16 and two gaps of 10. */
const WIDTH = 352;

describe('one list', () => {
  const layout = layOut({ ids, groups: undefined }, WIDTH, 100);

  test('is laid out in rows', () => {
    expect([layout.columns, layout.cell, layout.rowHeight]).toEqual([3, 100, 154]);
    expect(layout.rows.map(({ start, end, top }) => [start, end, top])).toEqual([
      [0, 3, 16],
      [3, 6, 170],
      [6, 9, 324],
      [9, 10, 478],
    ]);
    expect([0, 2, 3, 9].map((index) => rowOf(layout, index))).toEqual([0, 0, 1, 3]);
  });

  test('is walked by rows, and stops at its ends', () => {
    expect(below(layout, 1, 1)).toBe(4);
    expect(below(layout, 8, 1)).toBe(9);
    expect(below(layout, 9, -1)).toBe(6);
    expect(below(layout, 4, -5)).toBe(1);
    expect(below(layout, 1, -1)).toBe(1);
  });

  test('is searched by a rectangle', () => {
    const touched = (left: number, top: number, right: number, bottom: number) =>
      within(layout, ids, { left, top, right, bottom });
    expect(touched(20, 20, 30, 30)).toEqual([100]);
    expect(touched(20, 20, 130, 200)).toEqual([100, 101, 103, 104]);
    // Between the first and the second column, and below all.
    expect(touched(117, 20, 125, 30)).toEqual([]);
    expect(touched(0, 640, 300, 700)).toEqual([]);
    expect(touched(0, 0, 999, 999)).toEqual([...ids]);
  });
});

test('groups have headings, which the cursor passes over', () => {
  const layout = layOut({ ids, groups: [group(0, 4), group(4, 10)] }, WIDTH, 100);
  expect(layout.rows.map(({ heading, start, end }) => [heading !== undefined, start, end])).toEqual([
    [true, 0, 4],
    [false, 0, 3],
    [false, 3, 4],
    [true, 4, 10],
    [false, 4, 7],
    [false, 7, 10],
  ]);
  expect(rowOf(layout, 4)).toBe(4);
  expect(below(layout, 3, 1)).toBe(4);
  expect(below(layout, 5, -1)).toBe(3);
  expect(below(layout, 5, -2)).toBe(1);
});

test('there is a column at any width', () => {
  expect(layOut({ ids, groups: undefined }, 0, 100)).toMatchObject({ columns: 1, cell: 100 });
});
