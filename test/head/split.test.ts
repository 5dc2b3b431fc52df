import { holdOut } from '../../src/head/split.js';

const CLASSES = { ant: 50, bee: 23, fly: 10, gnat: 4, moth: 3, wasp: 2, worm: 1 };

function rows(sizes: Record<string, number>): { labels: string[]; ids: string[] } {
  const labels = Object.entries(sizes).flatMap(([label, size]) => Array.from({ length: size }, () => label));
  return { labels, ids: labels.map((label, i) => `${label}-${i}`) };
}

function countsIn(indices: number[], labels: string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const i of indices) counts[labels[i] ?? ''] = (counts[labels[i] ?? ''] ?? 0) + 1;
  return counts;
}

test('holds out a fifth of each class, at least one, and leaves two in training', () => {
  const { labels, ids } = rows(CLASSES);
  const { train, validation } = holdOut({ labels, ids });
  expect(countsIn(validation, labels)).toEqual({ ant: 10, bee: 5, fly: 2, gnat: 1, moth: 1 });
  expect(countsIn(train, labels)).toEqual({ ant: 40, bee: 18, fly: 8, gnat: 3, moth: 2, wasp: 2, worm: 1 });
  expect([...train, ...validation].sort((a, b) => a - b)).toEqual(labels.map((_, i) => i));
});

test('another fraction holds out another part', () => {
  const { labels, ids } = rows({ ant: 50, bee: 4 });
  expect(countsIn(holdOut({ labels, ids, fraction: 0.5 }).validation, labels)).toEqual({ ant: 25, bee: 2 });
  expect(countsIn(holdOut({ labels, ids, fraction: 0.99 }).validation, labels)).toEqual({ ant: 48, bee: 2 });
});

test('goes by the ids and not by the order of the rows', () => {
  const { labels, ids } = rows(CLASSES);
  const names = (split: number[], of: string[]) => split.map((i) => of[i]).sort();
  const forward = holdOut({ labels, ids });
  const reversed = holdOut({ labels: labels.toReversed(), ids: ids.toReversed() });
  expect(names(reversed.validation, ids.toReversed())).toEqual(names(forward.validation, ids));
  expect(forward.validation).not.toEqual(Array.from({ length: 19 }, (_, i) => i));
});

test('one picture more moves no more than one other', () => {
  const { labels, ids } = rows({ ant: 50, bee: 50 });
  const before = new Set(holdOut({ labels, ids }).validation);
  for (let added = 0; added < 20; added++) {
    const { validation } = holdOut({ labels: [...labels, 'ant'], ids: [...ids, `new-${added}`] });
    const after = new Set(validation);
    expect(ids.filter((_, i) => before.has(i) !== after.has(i)).length).toBeLessThanOrEqual(1);
  }
});

test('equal pictures stay on one side', () => {
  const { labels } = rows({ ant: 30, bee: 30 });
  const ids = labels.map((label, i) => `${label}-${Math.floor(i / 3)}`);
  const { train, validation } = holdOut({ labels, ids });
  const held = new Set(validation.map((i) => ids[i]));
  expect(train.filter((i) => held.has(ids[i]))).toEqual([]);
  expect(countsIn(validation, labels)).toEqual({ ant: 6, bee: 6 });
});

test('groups stay on one side, also where they span classes', () => {
  const { labels, ids } = rows({ ant: 30, bee: 30 });
  const groups = labels.map((_, i) => `subject-${i % 15}`);
  const { train, validation } = holdOut({ labels, ids, groups });
  const held = new Set(validation.map((i) => groups[i]));
  expect(held.size).toBe(3);
  expect(train.filter((i) => held.has(groups[i]))).toEqual([]);
});

test('a class in large groups still has one held out, if two examples stay', () => {
  const labels = Array.from({ length: 10 }, () => 'ant');
  const groups = labels.map((_, i) => (i < 6 ? 'large' : 'small'));
  const { validation } = holdOut({ labels, ids: groups });
  expect(validation.map((i) => groups[i])).toEqual(['small', 'small', 'small', 'small']);
  expect(holdOut({ labels, ids: labels.map(() => 'one') }).validation).toEqual([]);
});

test('a part that is none is refused', () => {
  for (const fraction of [0, 1, -0.2, NaN]) {
    expect(() => holdOut({ labels: ['ant'], ids: ['1'], fraction })).toThrow(
      `The fraction to hold out is ${fraction}. It must be a number above 0 and below 1, such as 0.2.`,
    );
  }
});

test('lengths that differ are refused', () => {
  expect(() => holdOut({ labels: ['ant', 'bee'], ids: ['1'] })).toThrow(
    'Each row needs a label, an id and a group, but there are 2 labels, 1 ids and 1 groups.',
  );
});
