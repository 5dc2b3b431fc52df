import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { parse } from 'npyjs';
import type { DatasetEntry } from '../../src/data/dataset.js';
import { openDataset } from '../../src/data/open.js';
import { exportEmbeddings } from '../../src/export/tables.js';
import { MODEL_ID, TRANSFORM_ID, writeStore } from '../support/embeddings.js';
import { temporaryFolder } from '../support/files.js';

const folder = await temporaryFolder();
const store = join(folder, 'store');
const embedding = (...values: number[]) => Float32Array.from(values);
const ROWS = [
  { path: '/data/a, "1".png', label: 'ant', split: 'train', embedding: embedding(0.1, -2.5, 1e-20) },
  { path: '/data/é.png', label: 'bee', split: 'val', embedding: embedding(1 / 3, 3e38, 0) },
  { path: '/data/none.png', label: null, split: null, embedding: embedding(7, 8, 9) },
];

beforeAll(async () => {
  const broken = { path: '/data/broken.png', label: 'ant', error: 'no picture' };
  await writeStore(store, [...ROWS, broken], 3);
});

async function written(format: 'npy' | 'parquet' | 'json', from = store): Promise<string> {
  const path = join(folder, `embeddings.${format}`);
  const result = await exportEmbeddings(path, { format, store: from });
  expect(result).toMatchObject({ rows: 3, width: 3, dataset: '/data', modelId: MODEL_ID });
  return path;
}

const byPath = <Row extends object>(rows: readonly Row[]) => {
  const path = (row: Row) => String(Reflect.get(row, 'path'));
  return [...rows].sort((a, b) => (path(a) < path(b) ? -1 : 1));
};
const plain = ROWS.map((row) => ({ ...row, embedding: Array.from(row.embedding) }));

it('json: every embedding comes back to the bit, with path, label and split', async () => {
  const rows = JSON.parse(readFileSync(await written('json'), 'utf8')) as typeof plain;
  expect(byPath(rows.map((row) => ({ ...row, embedding: row.embedding.map(Math.fround) })))).toEqual(byPath(plain));
});

it('parquet: another reader finds the same rows, and whose embeddings they are', async () => {
  const file = await asyncBufferFromFile(await written('parquet'));
  expect(byPath(await parquetReadObjects({ file }))).toEqual(byPath(plain));
  const { key_value_metadata: metadata } = await parquetMetadataAsync(file);
  expect(metadata).toEqual(
    expect.arrayContaining([
      { key: 'model_id', value: MODEL_ID },
      { key: 'transform_id', value: TRANSFORM_ID },
    ]),
  );
});

it('npy: the array and the manifest beside it have the same rows', async () => {
  const bytes = readFileSync(await written('npy'));
  const { data, shape, dtype, fortranOrder } = parse(new Uint8Array(bytes).buffer);
  expect({ shape, dtype, fortranOrder }).toEqual({ shape: [3, 3], dtype: 'f4', fortranOrder: false });
  const values = Array.from(data as Float32Array);
  const found: object[] = [];
  for await (const { path, label, split } of (await openDataset(join(folder, 'embeddings.csv'))).entries()) {
    const start = 3 * found.length;
    found.push({
      path,
      label: label ?? null,
      split: split ?? null,
      embedding: values.slice(start, start + 3),
    });
  }
  expect(byPath(found)).toEqual(byPath(plain));
});

it('lists of labels are lists', async () => {
  const other = join(folder, 'lists');
  const labels = ['["ant","bee"]', '[]', '["wasp"]'];
  await writeStore(
    other,
    ROWS.map((row, i) => ({ ...row, label: null, labels: labels[i] ?? null })),
    3,
  );
  const parquet = await parquetReadObjects({
    file: await asyncBufferFromFile(await written('parquet', other)),
  });
  const json = JSON.parse(readFileSync(await written('json', other), 'utf8')) as { labels: string[] }[];
  for (const rows of [parquet, json] as object[][]) {
    expect(byPath(rows).map((row): unknown => Reflect.get(row, 'labels'))).toEqual([['ant', 'bee'], ['wasp'], []]);
  }
  await written('npy', other);
  const lists: DatasetEntry[] = [];
  for await (const entry of (await openDataset(join(folder, 'embeddings.csv'))).entries()) lists.push(entry);
  expect(byPath(lists).map((entry) => entry.labels)).toEqual([['ant', 'bee'], ['wasp'], []]);
});

it('pictures without an embedding are counted; a store that is not there and a bad place are named; nothing is left', async () => {
  const place = join(folder, 'embeddings.json', 'embeddings.json');
  await expect(exportEmbeddings(place, { format: 'json', store })).rejects.toThrow(
    /embeddings\.json cannot be written: .* Name another place/,
  );
  await expect(exportEmbeddings(place, { format: 'json', store: join(folder, 'no') })).rejects.toThrow(
    /There are no embeddings at .*no\. Run `npm run embed/,
  );
  const path = join(folder, 'failed.json');
  expect(await exportEmbeddings(path, { format: 'json', store })).toMatchObject({ rows: 3, failed: 1 });
  const controller = new AbortController();
  controller.abort(new Error('enough'));
  const broken = exportEmbeddings(join(folder, 'no.npy'), {
    format: 'npy',
    store,
    signal: controller.signal,
  });
  await expect(broken).rejects.toThrow('enough');
  expect(readdirSync(folder).filter((name) => /part$|^no\./.test(name))).toEqual([]);
});
