import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BackbonePool } from '../../src/backbone/pool.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { Classifier } from '../../src/classify/classifier.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { madeUpHead } from '../support/made-up-head.js';
import { smallNetwork } from '../support/small-network.js';

const folder = await temporaryFolder();
const model = join(folder, 'small.onnx');
await writeFile(model, smallNetwork());
const backbone = await loadBackbone({ model });
const classifier = new Classifier(backbone, madeUpHead(backbone), { views: ['flip'] });
const files = await stripedDataset(folder, { all: { flat: 10 } });
const [first = '', last = ''] = [files[0], files.at(-1)];
const missing = join(folder, 'missing.png');

describe('classifyMany', () => {
  it('gives what classify gives, in order, and goes on past what cannot be read', async () => {
    const images = [...files.slice(0, 9), missing, await readFile(last)];
    const found = [];
    for await (const picture of classifier.classifyMany(images, { topK: 3, batchSize: 4, concurrency: 3 })) {
      found.push(picture);
    }
    expect(found.map(({ image }) => image)).toEqual(images);
    for (const { image, error, ...classification } of found) {
      if (image === missing) expect(error).toMatch(/missing\.png cannot be read/);
      else expect(classification).toEqual(await classifier.classify(image, { topK: 3 }));
    }
  });

  it('asks for no more pictures than it has room for', async () => {
    let asked = 0;
    const endless = function* () {
      for (;;) {
        asked++;
        yield first;
      }
    };
    const pool = new BackbonePool(backbone);
    let taken = 0;
    for await (const { error } of classifier.classifyMany(endless(), { pool, batchSize: 2, concurrency: 5 })) {
      expect(error).toBeUndefined();
      // Under way, a full batch and its successor, and two batches for each thread; all of two views.
      expect(asked - taken).toBeLessThanOrEqual(5 + 2 + 4 * pool.size + 4);
      if (++taken === 100) break;
    }
    await pool.close();
  });

  it('does not wait for pictures that are still to come', async () => {
    let release = (): void => undefined;
    const later = new Promise<void>((resolve) => (release = resolve));
    const slow = async function* () {
      yield first;
      await later;
      yield last;
    };
    const found: string[] = [];
    for await (const { image } of classifier.classifyMany(slow())) {
      found.push(image);
      release();
    }
    expect(found).toEqual([first, last]);
  });

  it('ends with the reason of its signal, and with an error where options make no sense', async () => {
    const controller = new AbortController();
    const found: string[] = [];
    const work = async () => {
      for await (const { image } of classifier.classifyMany(files, { signal: controller.signal })) {
        found.push(image);
        controller.abort(new Error('enough'));
      }
    };
    await expect(work()).rejects.toThrow('enough');
    expect(found).toEqual([first]);
    await expect(classifier.classifyMany(files, { batchSize: 0 }).next()).rejects.toThrow(/batchSize is 0/);
  });
});
