import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { copyFile, mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { embedImages } from '../../src/classify/classifier.js';
import { embedDataset, type EmbedOptions, type EmbedProgress } from '../../src/embed/embed.js';
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

/** A data set of 12 pictures in a folder of its own. */
beforeEach(async () => {
  folder = join(root, String(made++));
  data = join(folder, 'data');
  store = join(folder, 'store');
  await stripedDataset(data, { train: { flat: 4, steep: 4 }, val: { flat: 2, steep: 2 } });
});

function embed(dataset = data, options: Partial<EmbedOptions> = {}) {
  return embedDataset(dataset, { backbone, store, batchSize: 4, ...options });
}

function digestOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

describe('embedding a data set', () => {
  it('gives every picture one row, with what it is and the embedding that it has by itself', async () => {
    const summary = await embed();
    expect(summary).toMatchObject({
      dataset: data,
      total: 12,
      embedded: 12,
      failed: 0,
      modelId: backbone.id,
      width: 8,
      labels: { flat: 6, steep: 6 },
      splits: { train: 8, val: 4 },
    });
    const rows = await storedRows(store);
    expect(rows).toHaveLength(12);
    const alone = await embedImages(
      backbone,
      rows.map(({ path }) => path),
    );
    for (const [i, { path, label, split, sha256, width, height, embedding, error }] of rows.entries()) {
      expect(relative(data, path).startsWith(join(split ?? '', label ?? ''))).toBe(true);
      expect([sha256, width, height, error]).toEqual([digestOf(path), 80, 64, null]);
      expect(embedding).toEqual(alone.slice(8 * i, 8 * (i + 1)));
    }
    expect(new Set(rows.map(({ embedding }) => String(embedding))).size).toBe(12);
  });

  it('gives the same to the bit, however many pictures go together', async () => {
    await embed();
    const expected = (await storedRows(store)).map(({ embedding }) => embedding);
    for (const [batchSize, concurrency] of [
      [1, 1],
      [5, 3],
      [64, 64],
    ] as const) {
      store = join(folder, `store-${batchSize}`);
      await embed(data, { batchSize, concurrency });
      expect((await storedRows(store)).map(({ embedding }) => embedding)).toEqual(expected);
    }
  });

  it('tells how far it is', async () => {
    const states: EmbedProgress[] = [];
    await embed(data, { onProgress: (state) => states.push({ ...state }) });
    expect(states.slice(0, 12).map(({ phase, total }) => [phase, total])).toEqual(
      Array.from({ length: 12 }, (_, i) => ['scan', i + 1]),
    );
    expect(states.slice(12).map(({ phase, done, total }) => [phase, done, total])).toEqual(
      Array.from({ length: 12 }, (_, i) => ['embed', i + 1, 12]),
    );
  });
});

describe('embedding it again', () => {
  it('opens no file that did not change', async () => {
    const path = join(data, 'train', 'flat', '0.png');
    const time = new Date('2020-02-02T02:02:02Z');
    await utimes(path, time, time);
    await embed();
    const before = digestOf(path);
    // Of the same size and time, this content would be noticed only by reading it.
    await writeFile(path, Buffer.alloc(statSync(path).size));
    await utimes(path, time, time);
    expect(await embed()).toMatchObject({ total: 12, unchanged: 12, embedded: 0, failed: 0 });
    expect((await storedRows(store))[0]).toMatchObject({ path, sha256: before, error: null });
  });

  it('embeds what changed or is new, and drops what is gone', async () => {
    await embed();
    await writeFile(join(data, 'train', 'flat', '0.png'), await stripes(90, 100));
    await writeFile(join(data, 'train', 'flat', '9.png'), await stripes(90, 101));
    await rm(join(data, 'val', 'steep'), { recursive: true });
    expect(await embed()).toMatchObject({ total: 11, unchanged: 9, embedded: 2, removed: 2 });
    const rows = await storedRows(store);
    expect(rows.map(({ path }) => relative(data, path))).toEqual([
      ...['0', '1', '2', '3', '9'].map((name) => `train/flat/${name}.png`),
      ...['0', '1', '2', '3'].map((name) => `train/steep/${name}.png`),
      ...['0', '1'].map((name) => `val/flat/${name}.png`),
    ]);
    expect(rows.every(({ path, sha256 }) => sha256 === digestOf(path))).toBe(true);
  });

  it('finds moved and copied files by their content', async () => {
    await embed();
    const before = await storedRows(store);
    await rename(data, join(folder, 'moved'));
    expect(await embed(join(folder, 'moved'))).toMatchObject({ reused: 12, embedded: 0 });
    const moved = await storedRows(store, join(folder, 'moved'));
    expect(moved.map(({ embedding }) => embedding)).toEqual(before.map(({ embedding }) => embedding));

    await rename(join(folder, 'moved', 'val', 'flat', '0.png'), join(folder, 'moved', 'val', 'steep', '7.png'));
    expect(await embed(join(folder, 'moved'))).toMatchObject({ unchanged: 11, reused: 1, removed: 1 });
    const relabelled = (await storedRows(store, join(folder, 'moved'))).at(-1);
    expect(relabelled).toMatchObject({ label: 'steep', split: 'val', sha256: before[8]?.sha256 });
  });

  it('takes over labels that changed in a manifest without reading the files', async () => {
    const manifest = join(folder, 'list.csv');
    await writeFile(manifest, 'path,label\ndata/train/flat/0.png,a\ndata/train/flat/1.png,b\n');
    await embed(manifest);
    await writeFile(manifest, 'path,label,split\ndata/train/flat/0.png,b,val\ndata/train/flat/1.png,b,\n');
    await writeFile(join(data, 'train', 'flat', '0.png'), await stripes(90, 50));
    expect(await embed(manifest)).toMatchObject({ unchanged: 1, embedded: 1 });
    await writeFile(manifest, 'path,label\ndata/train/flat/0.png,c\ndata/train/flat/1.png,b\n');
    expect(await embed(manifest)).toMatchObject({ unchanged: 1, reused: 1, embedded: 0 });
    expect((await storedRows(store)).map(({ label, split }) => [label, split])).toEqual([
      ['c', null],
      ['b', null],
    ]);
  });

  it('leaves the rows of another data set that lists the same files alone', async () => {
    await embed();
    expect(await embed(join(data, 'train'))).toMatchObject({ total: 8, reused: 8, embedded: 0 });
    expect(await storedRows(store, data)).toHaveLength(12);
    expect(await storedRows(store, join(data, 'train'))).toHaveLength(8);
    expect(await embed()).toMatchObject({ total: 12, unchanged: 12 });
  });

  it('with another model keeps both apart', async () => {
    await embed();
    await writeFile(join(folder, 'other.onnx'), smallNetwork(2));
    const other = await loadBackbone({ model: join(folder, 'other.onnx') });
    expect(await embed(data, { backbone: other })).toMatchObject({ embedded: 12, modelId: other.id });
    expect(await embed()).toMatchObject({ unchanged: 12 });
    const rows = await storedRows(store);
    expect(rows).toHaveLength(24);
    expect(new Set(rows.map(({ embedding }) => String(embedding))).size).toBe(24);
  });

  it('of one split at a time comes to the same', async () => {
    expect(await embed(data, { split: 'train' })).toMatchObject({ total: 8, embedded: 8, removed: 0 });
    expect(await embed(data, { split: 'val' })).toMatchObject({ total: 4, embedded: 4, removed: 0 });
    expect(await embed()).toMatchObject({ total: 12, unchanged: 12 });
  });
});

describe('pictures that are the same', () => {
  it('are embedded once, whether they come together or far apart', async () => {
    const original = join(data, 'train', 'flat', '0.png');
    for (const name of ['a', 'b', 'c']) await copyFile(original, join(data, 'val', 'steep', `${name}.png`));
    await mkdir(join(data, 'train', 'zebra'));
    await copyFile(original, join(data, 'train', 'zebra', 'a.png'));
    for (const options of [{ batchSize: 16 }, { batchSize: 1, concurrency: 1 }]) {
      store = join(folder, `store-${options.batchSize}`);
      expect(await embed(data, options)).toMatchObject({ total: 16, embedded: 12, reused: 4 });
      const copies = (await storedRows(store)).filter(({ sha256 }) => sha256 === digestOf(original));
      expect(copies).toHaveLength(5);
      expect(new Set(copies.map(({ embedding }) => String(embedding))).size).toBe(1);
    }
  });
});

describe('a picture that cannot be read', () => {
  it('has a row that says why, and is embedded once it is mended', async () => {
    const path = join(data, 'train', 'flat', '0.png');
    const whole = readFileSync(path);
    await writeFile(path, whole.subarray(0, 200));
    await writeFile(join(data, 'val', 'flat', 'empty.jpg'), '');
    await mkdir(join(data, 'val', 'flat', 'folder.jpg'));
    expect(await embed()).toMatchObject({ total: 13, embedded: 11, failed: 2 });
    const failed = (await storedRows(store)).filter(({ error }) => error !== null);
    expect(failed.map((row) => [relative(data, row.path), row.embedding])).toEqual([
      ['train/flat/0.png', null],
      ['val/flat/empty.jpg', null],
    ]);
    expect(failed.every(({ error }) => (error ?? '').length > 10)).toBe(true);
    expect(await embed()).toMatchObject({ total: 13, unchanged: 11, failed: 2 });

    await writeFile(path, whole);
    expect(await embed()).toMatchObject({ total: 13, unchanged: 11, embedded: 1, failed: 1 });
  });
});

describe('broken off by a signal', () => {
  it('keeps what is done, and goes on from there', async () => {
    await embed(data, { store: join(folder, 'whole') });
    const controller = new AbortController();
    const stopped = embed(data, {
      signal: controller.signal,
      batchSize: 1,
      concurrency: 1,
      onProgress: ({ done }) => {
        if (done === 5) controller.abort(new Error('enough'));
      },
    });
    await expect(stopped).rejects.toThrow('enough');
    const kept = await storedRows(store);
    expect(kept.length).toBeGreaterThanOrEqual(5);
    expect(kept.length).toBeLessThan(12);
    expect(await embed()).toMatchObject({ unchanged: kept.length, embedded: 12 - kept.length });
    expect(await storedRows(store)).toEqual(await storedRows(join(folder, 'whole')));
  });
});

describe('what makes no sense', () => {
  it('is refused with what to do', async () => {
    await expect(embed(join(folder, 'none'))).rejects.toThrow(/none/);
    await mkdir(join(folder, 'notes'));
    await writeFile(join(folder, 'notes', 'readme.txt'), 'hello');
    await expect(embed(join(folder, 'notes'))).rejects.toThrow(/no pictures in .*notes \(1 file of another kind/);
    await expect(embed(data, { split: 'test' })).rejects.toThrow(/no pictures of the split test/);
    await expect(embed(data, { batchSize: 0 })).rejects.toThrow(UsageError);
    await expect(embed(data, { concurrency: 1.5 })).rejects.toThrow(/concurrency is 1\.5/);
    await writeFile(join(folder, 'file'), '');
    await expect(embed(data, { store: join(folder, 'file', 'store') })).rejects.toThrow(/store .*cannot be/);
  });

  it('in a manifest is refused before any picture is embedded', async () => {
    const manifest = join(folder, 'list.jsonl');
    await writeFile(manifest, '{"path": "data/train/flat/0.png"}\n{"path": "x.png", "split": "sometimes"}\n');
    await expect(embed(manifest)).rejects.toThrow(/list\.jsonl, line 2: unknown split "sometimes"/);
    await expect(storedRows(store)).rejects.toThrow(/no embeddings/);
  });
});
