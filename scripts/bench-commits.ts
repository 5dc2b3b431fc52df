import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EmbeddingRow } from '../src/store/row.js';
import { EmbeddingStore } from '../src/store/store.js';
import type { EmbeddingTable } from '../src/store/table.js';
import { number, run, script } from './support/script.js';
import { median } from './support/statistics.js';

/** Narrow rows: of the table, a commit reads only the columns of the key. */
const WIDTH = 8;
const JOB = 256;
const MODEL = ['resnet18@0123456789ab', 'v1-resize256-crop224', WIDTH] as const;
const WRITES = { blockRows: Infinity, blockMs: Infinity, compact: false };

export const command = script(
  'bench-commits',
  `Measure how long a worker's commit of ${JOB} rows takes in tables of 10,000 rows and more, and how many commits per ` +
    'second several writers reach together.',
  ['', '--rows 100000'],
)
  .option('--rows <n>', 'size of the largest table', number({ integer: true, min: 10_000 }), 1_000_000)
  .action(benchCommits);
await run(import.meta.url, command);

async function benchCommits({ rows }: { rows: number }): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-bench-commits-'));
  let made = 0;
  /** Adds new rows in one commit, and returns the milliseconds that it took. */
  const commit = async (table: EmbeddingTable, count: number) => {
    for (let i = 0; i < count; i++) await table.put(rowOf(made++));
    const start = performance.now();
    await table.flush();
    return performance.now() - start;
  };
  try {
    const store = await EmbeddingStore.open(folder, { create: true });
    await store.table(...MODEL);
    const open = async () => {
      const table = await store.existingTable(...MODEL, WRITES);
      if (!table) throw new Error('The table is gone.');
      return table;
    };
    const table = await open();
    for (let size = 10_000; size <= rows; size *= 10) {
      while (made < size) await commit(table, Math.min(50_000, size - made));
      await table.refresh();
      await table.optimize();
      const times: number[] = [];
      for (let i = 0; i < 9; i++) times.push(await commit(table, JOB));
      console.log(`${size} rows: a commit of ${JOB} takes ${median(times).toFixed(0)} ms`);
    }
    for (const writers of [1, 2, 4, 8]) {
      const tables = await Promise.all(Array.from({ length: writers }, open));
      const start = performance.now();
      await Promise.all(
        tables.map(async (own) => {
          for (let i = 0; i < 8; i++) await commit(own, JOB);
        }),
      );
      const rate = (8 * writers) / ((performance.now() - start) / 1000);
      console.log(`${made} rows, ${writers} writers: ${rate.toFixed(1)} commits/s`);
    }
    store.close();
  } finally {
    await rm(folder, { recursive: true });
  }
}

function rowOf(i: number): EmbeddingRow {
  return {
    path: `/mnt/photographs/${((i * 2654435761) % 2 ** 32).toString(16)}/picture-${i}.jpg`,
    dataset: '/mnt/photographs',
    view: 'center',
    model_id: MODEL[0],
    transform_id: MODEL[1],
    label: 'some class',
    labels: null,
    split: null,
    group: null,
    weight: null,
    sha256: null,
    size: 1,
    modified: 1,
    width: 500,
    height: 375,
    fingerprint: null,
    error: null,
    embedding: new Float32Array(WIDTH),
  };
}
