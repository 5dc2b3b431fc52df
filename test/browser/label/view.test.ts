import { Pictures } from '../../../src/browser/label/pictures.js';
import {
  ALL,
  type Filter,
  fromHash,
  select,
  settle,
  type Sort,
  START,
  toHash,
} from '../../../src/browser/label/view.js';

const CLASSES = ['ant', 'bee'];

function base64(column: Uint16Array | Float32Array): string {
  return Buffer.from(column.buffer).toString('base64');
}

/** Six pictures: two ants, a bee, and three without a label, of which one is left out and one cannot be read. */
const pictures = new Pictures({
  name: ['10.jpg', '2.jpg', 'wild/3.jpg', '4.jpg', '5.jpg', '6.jpg'],
  labels: [[0], [0], [1], [], [], []],
  labelled: [true, true, true, false, false, false],
  split: ['train', 'val', null, null, null, null],
  leftOut: [false, false, false, false, true, false],
  width: [10, 20, 30, 40, 50, 0],
  height: [10, 10, 10, 10, 10, 0],
  problem: [null, null, null, null, null, 'It is empty.'],
});
pictures.suggest({
  version: 1,
  best: base64(Uint16Array.of(0, 1, 1, 1, 0)),
  probability: base64(Float32Array.of(0.9, 0.8, 0.7, 0.6, 0.5)),
  second: base64(Uint16Array.of(1, 0, 0, 0, 1)),
  secondProbability: base64(Float32Array.of(0.1, 0.2, 0.3, 0.4, 0.5)),
});

function found(filter: Partial<Filter>, sort: Sort = 'added'): number[] {
  return [...select(pictures, CLASSES, { filter: { ...ALL, ...filter }, sort })];
}

test.each<[string, Partial<Filter>, number[]]>([
  ['nothing: all but those left out', {}, [0, 1, 2, 3, 5]],
  ['labelled', { state: 'labelled' }, [0, 1, 2]],
  ['not labelled, which what cannot be read does not count as', { state: 'not labelled' }, [3]],
  ['left out', { state: 'left out' }, [4]],
  ['unreadable', { state: 'unreadable' }, [5]],
  ['a label', { label: 'ant' }, [0, 1]],
  ['a label that is no class', { label: 'wasp' }, []],
  ['a split', { split: 'val' }, [1]],
  ['no split', { split: 'none', state: 'labelled' }, [2]],
  ['a suggestion', { suggestion: 'bee' }, [1, 2, 3]],
  ['a suggestion that is not the label', { differs: true }, [1]],
  ['certainty', { from: 0.65, to: 0.85 }, [1, 2]],
  ['a part of the name in any case', { text: ' WILD' }, [2]],
])('a filter by %s', (_, filter, expected) => {
  expect(found(filter)).toEqual(expected);
});

test.each<[Sort, number[]]>([
  ['name', [1, 3, 5, 0, 2]],
  ['label', [0, 1, 2, 3, 5]],
  ['suggestion', [0, 1, 2, 3, 5]],
  ['most certain', [0, 1, 2, 3, 5]],
  ['least certain', [3, 2, 1, 0, 5]],
  ['largest', [3, 2, 1, 0, 5]],
])('the order %s; equals stay as listed, what has none comes last', (sort, expected) => {
  expect(found({}, sort)).toEqual(expected);
});

test('what was seen stays where it is, and the rest follows in its new order', () => {
  const shown = Int32Array.of(7, 8, 9, 10);
  const wanted = Int32Array.of(11, 10, 9, 7);
  expect([...settle(shown, wanted, 2, () => true)]).toEqual([7, 8, 11, 10, 9]);
  expect([...settle(shown, wanted, 2, (id) => id !== 8)]).toEqual([7, 11, 10, 9]);
  expect([...settle(shown, wanted, 0, () => true)]).toEqual([...wanted]);
});

test('pictures that come later have no suggestion until there is one', () => {
  const growing = new Pictures({
    ...{ name: ['a'], labels: [[0]], labelled: [true], split: ['test'] },
    ...{ leftOut: [false], width: [1], height: [1], problem: [null] },
  });
  growing.add({
    ...{ name: ['b'], labels: [[1, 0]], labelled: [true], split: [null] },
    ...{ leftOut: [true], width: [1], height: [1], problem: [null] },
  });
  expect([growing.split(0), growing.isLeftOut(1), growing.labels(1)]).toEqual(['test', true, [1, 0]]);
  expect(select(growing, CLASSES, { filter: { ...ALL, suggestion: 'ant' }, sort: 'added' })).toHaveLength(0);
});

test('a situation is in the address, and what is not or wrongly there is as at the start', () => {
  const situation = {
    ...{ place: 'similar' as const, to: 12, sort: 'largest' as const },
    filter: { ...ALL, text: 'a&b=ü', label: 'ant', split: 'none' as const, differs: true, from: 0.25, to: 0.5 },
    ...{ cursor: 99, isLarge: true, size: 200 },
  };
  expect(fromHash(`#${toHash(situation)}`)).toEqual(situation);
  const start = { ...START, cursor: undefined, isLarge: false, size: 144 };
  expect(toHash(start)).toBe('');
  expect(fromHash('')).toEqual(start);
  expect(fromHash('#view=nowhere&sort=up&picture=-1&size=9999&from=2&state=odd')).toEqual(start);
  expect(fromHash('#view=similar')).toEqual(start);
});
