import { writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { embedDataset } from '../../src/embed/embed.js';
import type { EmbeddingRow } from '../../src/store/row.js';
import { EmbeddingStore } from '../../src/store/store.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
await writeFile(join(root, 'small.onnx'), smallNetwork());
const backbone = await loadBackbone({ model: join(root, 'small.onnx') });
const paths = await stripedDataset(join(root, 'data'), { train: { flat: 3, steep: 3 } });
const manifest = join(root, 'list.csv');

async function embed(store: string, line: (path: string, i: number) => string, header = 'path,label,group,weight') {
  const lines = paths.map((path, i) => line(relative(root, path), i));
  await writeFile(manifest, `${header}\n${lines.join('\n')}\n`);
  return embedDataset(manifest, { backbone, store });
}

async function rowsOf(location: string): Promise<Partial<EmbeddingRow>[]> {
  const store = await EmbeddingStore.open(location, { create: false });
  const [record] = await store.datasets();
  const rows: Partial<EmbeddingRow>[] = [];
  if (!record) return rows;
  const table = await store.tableOf(record);
  for await (const block of table.read({}, ['path', 'labels', 'group', 'weight'])) rows.push(...block);
  store.close();
  return rows.sort((a, b) => ((a.path ?? '') < (b.path ?? '') ? -1 : 1));
}

test('groups and weights of a manifest are kept, and a change of them is no reason to embed again', async () => {
  const store = join(root, 'store');
  expect(await embed(store, (path) => `${path},a,,`)).toMatchObject({ embedded: 6 });
  expect((await rowsOf(store))[2]).toMatchObject({ group: null, weight: null });
  const changed = await embed(store, (path, i) => `${path},a,subject ${i % 2},${i === 2 ? 2.5 : ''}`);
  expect(changed).toMatchObject({ embedded: 0, reused: 6, unchanged: 0 });
  expect((await rowsOf(store)).map(({ group, weight }) => [group, weight])).toEqual([
    ['subject 0', null],
    ['subject 1', null],
    ['subject 0', 2.5],
    ['subject 1', null],
    ['subject 0', null],
    ['subject 1', null],
  ]);
});

test('so are lists of labels, of which an empty one is none', async () => {
  const store = join(root, 'labels');
  const header = 'path,labels';
  await embed(store, (path) => `${path},`, header);
  const changed = await embed(store, (path, i) => `${path},${i === 0 ? 'b;a' : ''}`, header);
  expect(changed).toMatchObject({ embedded: 0, reused: 1, unchanged: 5, labels: { a: 1, b: 1, '': 5 } });
  expect(await embed(store, (path, i) => `${path},${i === 0 ? 'a;b' : ''}`, header)).toMatchObject({
    unchanged: 6,
  });
  expect((await rowsOf(store)).map(({ labels }) => labels).slice(0, 2)).toEqual(['["a","b"]', '[]']);
});
