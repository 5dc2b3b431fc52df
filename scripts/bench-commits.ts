/**
 * How long a worker's commit of 256 rows takes by the rows that the table has, and how many commits a second several writers
 * reach together. Rows are narrow: what a commit reads of the table are the columns of the key.
 *
 *     npm run bench-commits -- [--rows 1000000]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { EmbeddingRow } from '../src/store/row.js';
import { EmbeddingStore } from '../src/store/store.js';
import type { EmbeddingTable } from '../src/store/table.js';

const WIDTH = 8;
const JOB = 256;
const MODEL = ['resnet18@0123456789ab', 'v1-resize256-crop224', WIDTH] as const;
const WRITES = { blockRows: Infinity, blockMs: Infinity, compact: false };

const { values } = parseArgs({ options: { rows: { type: 'string', default: '1000000' } } });
const folder = await mkdtemp(join(tmpdir(), 'lastlayer-bench-commits-'));
let made = 0;
try {
  const store = await EmbeddingStore.open(folder, { create: true });
  await store.table(...MODEL);
  const open = async () => {
    const table = await store.existingTable(...MODEL, WRITES);
    if (!table) throw new Error('The table is gone.');
    return table;
  };
  const table = await open();
  for (let size = 10_000; size <= Number(values.rows); size *= 10) {
    while (made < size) await commit(table, Math.min(50_000, size - made));
    await table.refresh();
    await table.optimize();
    const times: number[] = [];
    for (let i = 0; i < 9; i++) times.push(await commit(table, JOB));
    const middle = times.sort((a, b) => a - b)[4] ?? NaN;
    console.log(`${size} rows: a commit of ${JOB} takes ${middle.toFixed(0)} ms`);
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

/** Adds new rows in one commit; milliseconds that it took. */
async function commit(table: EmbeddingTable, count: number): Promise<number> {
  for (let i = 0; i < count; i++) await table.put(row(made++));
  const start = performance.now();
  await table.flush();
  return performance.now() - start;
}

function row(i: number): EmbeddingRow {
  return {
    path: `/mnt/photographs/${((i * 2654435761) % 2 ** 32).toString(16)}/picture-${i}.jpg`,
    ...{ dataset: '/mnt/photographs', view: 'center', model_id: MODEL[0], transform_id: MODEL[1] },
    ...{ label: 'some class', labels: null, split: null, group: null, weight: null, sha256: null },
    ...{ size: 1, modified: 1, width: 500, height: 375, fingerprint: null, error: null },
    embedding: new Float32Array(WIDTH),
  };
}
