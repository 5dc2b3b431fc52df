import { join } from 'node:path';
import { checkData, type DataCheck } from '../../src/check/check-data.js';
import type { Issue } from '../../src/check/finding.js';
import { sha256Of } from '../../src/util/hash.js';
import { type PlainRow, writeStore } from '../support/embeddings.js';
import { temporaryFolder } from '../support/files.js';

const WIDTH = 48;
const LABELS = ['ant', 'bee', 'wasp'];
const root = await temporaryFolder();

/** Noise of −1 … 1 that is the same each time. */
function noiseFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** Pictures whose embeddings lie about the corner of their class. */
function rowsOf(count: number): (PlainRow & { embedding: Float32Array })[] {
  const noise = noiseFrom(7);
  return Array.from({ length: count }, (_, i) => {
    const c = i % LABELS.length;
    return {
      path: `/data/${String(i).padStart(3, '0')}.jpg`,
      label: LABELS[c] ?? '',
      split: i % 5 === 0 ? 'val' : 'train',
      width: 300,
      height: 200,
      embedding: Float32Array.from({ length: WIDTH }, (__, j) => (j % LABELS.length === c ? 1.5 : 0) + noise()),
    };
  });
}

async function check(name: string, rows: readonly PlainRow[]): Promise<DataCheck> {
  const store = join(root, name);
  await writeStore(store, rows, WIDTH);
  return checkData({ store });
}

function found({ findings }: DataCheck, issue: Issue): string[] {
  return findings.filter((finding) => finding.issue === issue).map(({ path }) => path.slice(6, -4));
}

test('data without faults are left in peace', async () => {
  const result = await check('clean', rowsOf(90));
  expect(result.findings).toEqual([]);
  expect(result.warnings).toEqual([]);
  expect(result.classes).toEqual(LABELS.map((label) => ({ label, count: 30, splits: { train: 24, val: 6 } })));
});

test('swapped labels are found, with the right one suggested', async () => {
  const swapped = [4, 17, 32, 55, 71];
  const rows = rowsOf(240).map((row, i) =>
    swapped.includes(i) ? { ...row, label: LABELS[(i + 1) % LABELS.length] ?? '' } : row,
  );
  const { findings } = await check('swapped', rows);
  const errors = findings.filter(({ issue }) => issue === 'label error');
  expect(errors.length).toBeGreaterThanOrEqual(4);
  for (const { path, suggestedLabel } of errors) {
    expect(swapped).toContain(Number(path.slice(6, -4)));
    expect(suggestedLabel).toBe(LABELS[Number(path.slice(6, -4)) % LABELS.length]);
  }
});

test('copies are found once each, leaks and contradictions among them', async () => {
  const rows = rowsOf(90);
  const [a, b, c] = [rows[1], rows[2], rows[4]];
  if (!a || !b || !c) throw new Error('There are rows.');
  const nearly = b.embedding.map((value, j) => value + (j % 2 === 0 ? 0.01 : -0.01));
  const result = await check('copies', [
    ...rows,
    { ...a, path: '/data/900.jpg', split: 'val', sha256: sha256Of(a.path) },
    { ...b, path: '/data/901.jpg', embedding: nearly },
    { ...c, path: '/data/902.jpg', label: 'bee' === c.label ? 'wasp' : 'bee', sha256: sha256Of(c.path) },
  ]);
  expect(found(result, 'leak')).toEqual(['900']);
  expect(found(result, 'exact duplicate')).toEqual(['900', '902']);
  expect(found(result, 'near duplicate')).toEqual(['901']);
  expect(found(result, 'conflicting labels')).toEqual(['004', '902']);
  const related = result.findings.filter(({ issue }) => issue.endsWith('duplicate'));
  expect(related.map((finding) => finding.related)).toEqual([a.path, c.path, b.path]);
});

test('outliers, tiny and unreadable pictures, and rare classes are told', async () => {
  const rows = rowsOf(90);
  const noise = noiseFrom(3);
  const result = await check('odd', [
    ...rows,
    {
      ...rows[0],
      path: '/data/900.jpg',
      embedding: Float32Array.from({ length: WIDTH }, () => -9 * noise()),
    },
    {
      ...rows[1],
      path: '/data/901.jpg',
      width: 40,
      height: 90,
      embedding: rows[1]?.embedding.map((x) => x * 0.5) ?? null,
    },
    { path: '/data/902.jpg', error: 'truncated', label: 'bee' },
    { ...rows[2], path: '/data/903.jpg', label: 'hornet', split: 'val' },
  ]);
  expect(found(result, 'outlier')).toEqual(['900']);
  expect(found(result, 'tiny')).toEqual(['901']);
  expect(found(result, 'unreadable')).toEqual(['902']);
  expect(result.warnings).toEqual([
    expect.stringMatching(/imbalanced: .* has 31 pictures, 31 times as many as hornet/),
    'Fewer than 10 pictures: hornet (1).',
    'In no training split, so never trained on: hornet (1).',
  ]);
  expect(result.pictures).toHaveLength(94);
});

test('pictures that do not belong here are outliers even where a dozen of them are alike', async () => {
  const noise = noiseFrom(5);
  const odd = Array.from({ length: 12 }, (_, i) => ({
    ...rowsOf(1)[0],
    path: `/data/9${String(i).padStart(2, '0')}.jpg`,
    label: null,
    embedding: Float32Array.from({ length: WIDTH }, (__, j) => (j < 4 ? 9 : 0) + noise()),
  }));
  const result = await check('alike', [...rowsOf(150), ...odd]);
  expect(found(result, 'outlier').slice(0, 12).sort()).toEqual(odd.map(({ path }) => path.slice(6, -4)));
});

test('pictures without labels are compared all the same', async () => {
  const rows = rowsOf(30).map((row) => ({ ...row, label: null }));
  const copy = { ...rows[3], path: '/data/900.jpg', sha256: sha256Of('/data/003.jpg') };
  const result = await check('unlabelled', [...rows, copy]);
  expect(found(result, 'exact duplicate')).toEqual(['900']);
  expect(result.warnings).toEqual(['Labels are not checked: fewer than two classes have two pictures each.']);
});

test('neighbours are the same whether embeddings lie in memory or are read in blocks', async () => {
  const store = join(root, 'blocks');
  await writeStore(store, rowsOf(90), WIDTH);
  const inMemory = await checkData({ store });
  expect(await checkData({ store, memory: 1 })).toEqual(inMemory);
});

test('labels that lists lack or have too many of are found, with the right list suggested', async () => {
  const listOf = (i: number) => (i % 3 === 2 ? ['ant', 'bee'] : [LABELS[i % 3] ?? '']);
  const noise = noiseFrom(11);
  const rows = rowsOf(90).map((row, i) => ({
    ...row,
    label: null,
    labels: JSON.stringify(listOf(i)),
    embedding: Float32Array.from(
      { length: WIDTH },
      (_, j) => (listOf(i).includes(LABELS[j % 2] ?? '') ? 1.5 : 0) + noise(),
    ),
  }));
  const faults = new Map([
    [5, ['ant']],
    [20, ['bee']],
    [30, ['ant', 'bee']],
    [61, []],
  ]);
  const result = await check(
    'lists',
    rows.map((row, i) => ({ ...row, labels: JSON.stringify(faults.get(i) ?? listOf(i)) })),
  );
  const errors = result.findings.filter(({ issue }) => issue === 'label error');
  expect(errors.map(({ path }) => Number(path.slice(6, -4))).sort((a, b) => a - b)).toEqual([...faults.keys()]);
  for (const { path, suggestedLabels } of errors) {
    expect(suggestedLabels).toEqual(listOf(Number(path.slice(6, -4))));
  }
  expect(result.classes.map(({ label }) => label).sort()).toEqual(['ant', 'bee']);
});

test('a data set that mixes pictures of one label with lists is refused', async () => {
  const [first, ...others] = rowsOf(30);
  await expect(
    check('mixed', [{ ...first, path: '/data/000.jpg', label: null, labels: '["ant"]' }, ...others]),
  ).rejects.toThrow(/\/data mixes pictures of one class .*: 29 have a label and 1 have labels/);
});
