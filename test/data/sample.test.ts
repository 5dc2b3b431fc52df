import { writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { embedImages } from '../../src/classify/classifier.js';
import type { Dataset } from '../../src/data/dataset.js';
import { openDataset } from '../../src/data/open.js';
import { sampleEntries } from '../../src/data/sample.js';
import { pictureBatches } from '../../src/image/batches.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
const data = join(root, 'data');
const paths = await stripedDataset(data, { train: { flat: 12, steep: 12 }, val: { flat: 3 } });
const dataset = await openDataset(data);

describe('a sample of a data set', () => {
  it('is the same whatever order the files are listed in and wherever the data set lies', async () => {
    const { entries, of } = await sampleEntries(dataset, { splits: ['train'], limit: 5 });
    expect(of).toBe(24);
    expect(new Set(entries.map(({ path }) => path)).size).toBe(5);
    const backwards: Dataset = {
      ...dataset,
      entries: async function* () {
        const all = [];
        for await (const entry of dataset.entries()) all.unshift(entry);
        yield* all;
      },
    };
    expect((await sampleEntries(backwards, { splits: ['train'], limit: 5 })).entries).toEqual(entries);

    const copy = join(root, 'copy');
    await stripedDataset(copy, { train: { flat: 12, steep: 12 }, val: { flat: 3 } });
    const copied = await sampleEntries(await openDataset(copy), { splits: ['train'], limit: 5 });
    const names = (found: typeof entries, folder: string) => found.map(({ path }) => relative(folder, path));
    expect(names(copied.entries, copy)).toEqual(names(entries, data));
  });

  it('is of the wanted splits, and all there is where that is little', async () => {
    const { entries, of } = await sampleEntries(dataset, { splits: ['val'], limit: 100 });
    expect(of).toBe(3);
    expect(entries.map(({ path }) => path).sort()).toEqual(paths.slice(24).sort());
    expect(await sampleEntries(dataset, { splits: [undefined], limit: 100 })).toEqual({ entries: [], of: 0 });
  });
});

describe('batches of pictures', () => {
  it('hold what a network reads, but for pictures that cannot be read', async () => {
    await writeFile(join(root, 'small.onnx'), smallNetwork());
    const backbone = await loadBackbone({ model: join(root, 'small.onnx') });
    const bad = join(root, 'bad.png');
    await writeFile(bad, 'no picture');
    const entries = [...paths.slice(0, 2), bad, ...paths.slice(2, 6)].map((path) => ({ path }));
    const unreadable: string[] = [];
    const embeddings: number[] = [];
    const sizes: number[] = [];
    for await (const batch of pictureBatches(entries, {
      transform: backbone.transform,
      size: 3,
      onUnreadable: ({ path }) => unreadable.push(path),
    })) {
      sizes.push(batch.entries.length);
      embeddings.push(...(await backbone.run(batch.pixels)).embedding);
    }
    expect(unreadable).toEqual([bad]);
    expect(sizes).toEqual([2, 3, 1]);
    expect(embeddings).toEqual([...(await embedImages(backbone, paths.slice(0, 6)))]);
  });

  it('end where a signal aborts', async () => {
    const controller = new AbortController();
    const { transform } = await loadBackbone({ model: join(root, 'small.onnx') });
    const entries = paths.map((path) => ({ path }));
    const all = async () => {
      for await (const batch of pictureBatches(entries, { transform, size: 2, signal: controller.signal })) {
        expect(batch.entries).toHaveLength(2);
        controller.abort(new Error('enough'));
      }
    };
    await expect(all()).rejects.toThrow('enough');
  });
});
