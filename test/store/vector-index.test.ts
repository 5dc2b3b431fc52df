import { join } from 'node:path';
import { EmbeddingStore } from '../../src/store/store.js';
import type { EmbeddingTable } from '../../src/store/table.js';
import { MODEL_ID, type PlainRow, TRANSFORM_ID, writeStore } from '../support/embeddings.js';
import { temporaryFolder } from '../support/files.js';

const WIDTH = 32;
const ROWS = 3000;
const store = join(await temporaryFolder(), 'store');
let state = 5;

function noise(): number {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 31 - 1;
}

/** Embeddings about 40 centres, of length 1 to 2. */
function rowsFrom(first: number, count: number): (PlainRow & { embedding: Float32Array })[] {
  return Array.from({ length: count }, (_, i) => ({
    path: `/data/${first + i}.jpg`,
    embedding: Float32Array.from({ length: WIDTH }, (__, j) => Math.sin((1 + (i % 40)) * (j + 1)) + 0.5 * noise()),
  }));
}

async function withTable<Result>(use: (table: EmbeddingTable) => Promise<Result>): Promise<Result> {
  const opened = await EmbeddingStore.open(store, { create: false });
  try {
    const table = await opened.existingTable(MODEL_ID, TRANSFORM_ID, WIDTH);
    if (!table) throw new Error('There is a table.');
    return await use(table);
  } finally {
    opened.close();
  }
}

const rows = rowsFrom(0, ROWS);
const queries = rows.filter((_, i) => i % 100 === 7).map(({ embedding }) => embedding.map((x) => x + 0.1 * noise()));

/** The share of the exact ten nearest rows that a search finds. */
async function recall(table: EmbeddingTable): Promise<number> {
  let hits = 0;
  for (const query of queries) {
    const [found, exact] = [await table.nearest(query, 10), await table.nearest(query, 10, {}, { exact: true })];
    const similarities = new Map(exact.map(({ row, similarity }) => [row.path, similarity]));
    for (const { row, similarity } of found) {
      const expected = similarities.get(row.path);
      if (expected === undefined) continue;
      hits++;
      // Cosines are of the embeddings themselves, not of the index's codes.
      expect(similarity).toBeCloseTo(expected, 5);
    }
  }
  return hits / (10 * queries.length);
}

beforeAll(() => writeStore(store, rows, WIDTH));

test('a small table gets no index', async () => {
  const worked: number[] = [];
  await withTable((table) => table.vectorIndex.bringUpToDate({ onWork: (n) => worked.push(n) }));
  expect(worked).toEqual([]);
});

test('a large table gets one, once, which finds the same neighbours as a search through all rows', async () => {
  const worked: number[] = [];
  const options = { from: ROWS, onWork: (n: number) => worked.push(n) };
  await withTable(async (table) => {
    await table.vectorIndex.bringUpToDate(options);
    await table.vectorIndex.bringUpToDate(options);
    expect(worked).toEqual([ROWS]);
    expect(await recall(table)).toBeGreaterThan(0.95);
  });
});

test('rows that were added after it are found at once, and are added to it where they are many', async () => {
  const later = rowsFrom(ROWS, 400).map((row) => ({ ...row, embedding: row.embedding.map((x) => x - 3) }));
  await writeStore(store, later.slice(0, 20), WIDTH);
  const worked: number[] = [];
  const options = { from: ROWS, onWork: (n: number) => worked.push(n) };
  const first = later[3];
  if (!first) throw new Error('There are rows.');
  await withTable(async (table) => {
    await table.vectorIndex.bringUpToDate(options);
    expect(worked).toEqual([]);
    const [nearest] = await table.nearest(first.embedding, 1);
    expect(nearest?.row.path).toBe(first.path);
  });
  await writeStore(store, later, WIDTH);
  await withTable(async (table) => {
    await table.vectorIndex.bringUpToDate(options);
    expect(worked).toEqual([400]);
    const [nearest] = await table.nearest(later[321]?.embedding ?? first.embedding, 1);
    expect(nearest?.row.path).toBe(later[321]?.path);
    expect(await recall(table)).toBeGreaterThan(0.95);
  });
});
