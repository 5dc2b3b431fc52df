import { readFileSync } from 'node:fs';
import { copyFile, rename, rm, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { embedImages } from '../../src/classify/classifier.js';
import { searchSimilar } from '../../src/classify/search.js';
import { embedDataset, type EmbedOptions } from '../../src/embed/embed.js';
import { decodeViews } from '../../src/image/decode.js';
import { AUGMENTED_VIEWS } from '../../src/image/views.js';
import type { EmbeddingRow } from '../../src/store/row.js';
import { EmbeddingStore } from '../../src/store/store.js';
import { UsageError } from '../../src/util/errors.js';
import { stripedDataset, stripes, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';
import { storedRows } from '../support/store.js';

const root = await temporaryFolder();
await writeFile(join(root, 'small.onnx'), smallNetwork());
const backbone = await loadBackbone({ model: join(root, 'small.onnx') });

let folder = '';
let data = '';
let store = '';
let made = 0;

/** A data set of 4 training and 2 validation pictures in a folder of its own. */
beforeEach(async () => {
  folder = join(root, String(made++));
  data = join(folder, 'data');
  store = join(folder, 'store');
  await stripedDataset(data, { train: { flat: 2, steep: 2 }, val: { flat: 1, steep: 1 } });
});

function embed(dataset = data, options: Partial<EmbedOptions> = {}) {
  return embedDataset(dataset, { backbone, store, batchSize: 4, ...options });
}

/** The rows of further views, by path and view. */
async function viewRows(dataset = data): Promise<EmbeddingRow[]> {
  const opened = await EmbeddingStore.open(store, { create: false });
  const rows: EmbeddingRow[] = [];
  for (const record of (await opened.datasets()).filter((each) => each.dataset === dataset)) {
    const table = await opened.tableOf(record);
    const columns = ['path', 'view', 'label', 'split', 'sha256', 'embedding'] as const;
    for await (const block of table.read({ dataset, views: AUGMENTED_VIEWS }, columns)) rows.push(...block);
  }
  opened.close();
  return rows.sort((a, b) => (a.path + a.view < b.path + b.view ? -1 : 1));
}

async function names(dataset = data): Promise<string[]> {
  return (await viewRows(dataset)).map(({ path, view }) => `${relative(dataset, path)} ${view}`);
}

const TRAIN = ['train/flat/0.png', 'train/flat/1.png', 'train/steep/0.png', 'train/steep/1.png'];
const FLIPS = TRAIN.map((path) => `${path} flip`);

test('views of the training pictures are embedded, and nobody sees them who does not ask', async () => {
  expect(await embed(data, { views: ['flip', 'crops'] })).toMatchObject({ total: 6, embedded: 6, views: 36 });
  for (const { path, view, embedding, split } of await viewRows()) {
    const name = AUGMENTED_VIEWS.filter((each) => each === view);
    const [image] = await decodeViews(readFileSync(path), backbone.transform, name);
    const { embedding: alone } = await backbone.run(image?.pixels ?? new Uint8Array());
    expect([split, embedding]).toEqual(['train', alone]);
  }
  expect(await names()).toEqual(TRAIN.flatMap((path) => [...AUGMENTED_VIEWS].sort().map((view) => `${path} ${view}`)));

  const seen = await storedRows(store);
  expect(seen).toHaveLength(6);
  expect(seen.map(({ embedding }) => embedding)).toEqual(await centers(seen));
  const path = join(data, 'train/flat/0.png');
  const similar = await searchSimilar(path, { store, topK: 10, model: join(root, 'small.onnx') });
  expect(similar.map((each) => each.path).sort()).toEqual(seen.map((each) => each.path));
});

async function centers(rows: readonly EmbeddingRow[]): Promise<Float32Array[]> {
  return Promise.all(rows.map(({ path }) => embedImages(backbone, [path])));
}

test('only missing views are embedded, and those that are there stay without being asked for', async () => {
  await embed();
  const before = await storedRows(store);
  expect(await embed(data, { views: ['flip'] })).toMatchObject({ embedded: 4, unchanged: 2, views: 4 });
  const flips = await viewRows();
  expect(flips.map(({ view }) => view)).toEqual(['flip', 'flip', 'flip', 'flip']);
  expect(await storedRows(store)).toEqual(before);
  for (const views of [['flip'], [], undefined] as const) {
    expect(await embed(data, { ...(views && { views }) })).toMatchObject({ unchanged: 6, views: 4 });
  }
  expect(await embed(data, { views: ['flip', 'crops'] })).toMatchObject({ embedded: 4, views: 36 });
  expect((await viewRows()).filter(({ view }) => view === 'flip')).toEqual(flips);
});

test('a picture that changed or is gone takes its views along', async () => {
  await embed(data, { views: ['flip'] });
  await writeFile(join(data, TRAIN[0] ?? ''), await stripes(90, 77));
  await rm(join(data, TRAIN[3] ?? ''));
  expect(await embed()).toMatchObject({ embedded: 1, unchanged: 4, removed: 1, views: 2 });
  expect(await names()).toEqual(FLIPS.slice(1, 3));
  expect(await embed(data, { views: ['flip'] })).toMatchObject({ embedded: 1, unchanged: 4, views: 3 });
});

test('views are found by content where a file was moved, copied or listed by another data set', async () => {
  await embed(data, { views: ['flip'] });
  const before = await viewRows();
  await rename(join(data, TRAIN[0] ?? ''), join(data, 'train/steep/9.png'));
  await copyFile(join(data, TRAIN[1] ?? ''), join(data, 'train/steep/8.png'));
  await copyFile(join(data, TRAIN[1] ?? ''), join(data, 'val/steep/8.png'));
  expect(await embed(data, { views: ['flip'] })).toMatchObject({ embedded: 0, reused: 3, removed: 1 });
  expect(await names()).toEqual([...FLIPS.slice(1), 'train/steep/8.png flip', 'train/steep/9.png flip']);
  const moved = (await viewRows()).at(-1);
  expect(moved).toMatchObject({ label: 'steep', embedding: before[0]?.embedding });

  const part = join(data, 'train');
  expect(await embed(part, { views: ['flip'] })).toMatchObject({ reused: 5, embedded: 0, views: 5 });
  // Of a picture to validate by, views are wanted once it is one to train on.
  await rm(join(data, 'train'), { recursive: true });
  await rename(join(data, 'val'), join(data, 'train'));
  expect(await embed(data, { views: ['flip'] })).toMatchObject({
    total: 3,
    embedded: 2,
    reused: 1,
    views: 3,
  });
});

test('equal files of which only one is to train on are embedded once for each view', async () => {
  // The validation picture comes first and has no use for the mirror image.
  const manifest = join(folder, 'list.csv');
  await copyFile(join(data, TRAIN[0] ?? ''), join(data, 'copy.png'));
  await writeFile(manifest, `path,label,split\ndata/copy.png,a,val\ndata/${TRAIN[0] ?? ''},a,train\n`);
  for (const batchSize of [1, 4]) {
    store = join(folder, `store-${batchSize}`);
    // One after another, so that the first is under way before the second is read.
    const outcomes = await embed(manifest, { views: ['flip'], batchSize, concurrency: 1 });
    expect(outcomes).toMatchObject({ total: 2, embedded: 2, views: 1 });
    expect((await viewRows(manifest)).map(({ path }) => path)).toEqual([join(data, TRAIN[0] ?? '')]);
  }
});

test('broken off, it goes on with the views that are missing', async () => {
  await embed(data, { store: join(folder, 'whole'), views: ['flip'] });
  await embed();
  const controller = new AbortController();
  const stopped = embed(data, {
    ...{ signal: controller.signal, batchSize: 1, concurrency: 1, views: ['flip'] },
    onProgress: ({ phase, done }) => {
      if (phase === 'embed' && done === 2) controller.abort(new Error('enough'));
    },
  });
  await expect(stopped).rejects.toThrow('enough');
  const kept = (await viewRows()).length;
  expect(kept).toBeGreaterThanOrEqual(2);
  expect(kept).toBeLessThan(4);
  expect(await embed(data, { views: ['flip'] })).toMatchObject({ embedded: 4 - kept, views: 4 });
  const found = await viewRows();
  store = join(folder, 'whole');
  expect(found).toEqual(await viewRows());
});

test('views that there are not are refused', async () => {
  await expect(embed(data, { views: ['upside-down' as 'flip'] })).rejects.toThrow(UsageError);
});
