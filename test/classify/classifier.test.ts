import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { loadBackbone } from '../../src/backbone/load.js';
import { Classifier, predictPretrainedClasses } from '../../src/classify/classifier.js';
import { evaluateDataset } from '../../src/classify/evaluate.js';
import { trainFromStore } from '../../src/classify/train.js';
import { embedDataset } from '../../src/embed/embed.js';
import { saveHead } from '../../src/head/file.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';
import { ofClasses } from '../support/softmax.js';

const folder = await temporaryFolder();
const model = join(folder, 'small.onnx');
await writeFile(model, smallNetwork());
const backbone = await loadBackbone({ model });
const data = join(folder, 'data');
const store = join(folder, 'store');
const headFile = join(folder, 'head.safetensors');
let classifier: Classifier;

beforeAll(async () => {
  await stripedDataset(data, {
    train: { flat: 12, steep: 12, slanted: 12 },
    val: { flat: 6, steep: 6, slanted: 6 },
  });
  await embedDataset(data, { backbone, store });
  const { head } = await trainFromStore({ store });
  await saveHead(headFile, head);
  classifier = await Classifier.load(headFile, { model });
});

describe('a classifier', () => {
  it('gives the same answer for a file, its bytes and its pixels', async () => {
    const path = join(data, 'val', 'steep', '0.png');
    const bytes = readFileSync(path);
    const { data: pixels, info } = await sharp(bytes).raw().toBuffer({ resolveWithObject: true });
    const fromPath = await classifier.predict(path, { topK: 3 });
    expect(fromPath.map(({ label }) => label).sort()).toEqual(['flat', 'slanted', 'steep']);
    expect(await classifier.predict(bytes, { topK: 3 })).toEqual(fromPath);
    const { width, height } = info;
    expect(await classifier.predict({ data: pixels, width, height, channels: 3 }, { topK: 3 })).toEqual(fromPath);
  });

  it('names a picture that it cannot read, and refuses pixels that do not add up', async () => {
    await expect(classifier.predict(join(folder, 'none.png'))).rejects.toThrow(/none\.png cannot be read/);
    await writeFile(join(folder, 'text.png'), 'text');
    await expect(classifier.predict(join(folder, 'text.png'))).rejects.toThrow(/text\.png is no readable picture/);
    const pixels = { data: new Uint8Array(11), width: 2, height: 2, channels: 3 } as const;
    await expect(classifier.predict(pixels)).rejects.toThrow(/2 × 2 × 3 takes 12 bytes, 11 were given/);
  });

  it('is not made of a head and a backbone that do not belong together', async () => {
    const other = join(folder, 'other.onnx');
    await writeFile(other, smallNetwork(2));
    await expect(Classifier.load(headFile, { model: other })).rejects.toThrow(
      /trained on embeddings of network@[0-9a-f]+, but the backbone in use is network@[0-9a-f]+ .*other\.onnx/,
    );
  });
});

describe('evaluation', () => {
  it('comes to what predict says, picture by picture', async () => {
    const result = ofClasses(await evaluateDataset(classifier, data));
    expect(result.split).toBe('val');
    let right = 0;
    for (const label of ['flat', 'steep', 'slanted']) {
      for (let i = 0; i < 6; i++) {
        const [best] = await classifier.predict(join(data, 'val', label, `${i}.png`));
        if (best?.label === label) right++;
      }
    }
    expect(result.count).toBe(18);
    expect(result.accuracy).toBe(right / 18);
  });

  it('counts what it cannot judge: classes unknown to the head, no label, unreadable', async () => {
    const manifest = join(folder, 'odd.jsonl');
    await writeFile(join(folder, 'broken.png'), 'no picture');
    const rows = [
      { path: 'data/val/flat/0.png', label: 'flat' },
      { path: 'data/val/flat/1.png', label: 'zebra' },
      { path: 'data/val/flat/2.png' },
      { path: 'broken.png', label: 'flat' },
    ];
    await writeFile(manifest, rows.map((row) => JSON.stringify(row)).join('\n'));
    const result = await evaluateDataset(classifier, manifest);
    expect(result).toMatchObject({ count: 1, unlabelled: 1, unknown: [{ label: 'zebra', count: 1 }] });
    const [failed] = result.failed;
    expect(failed?.path).toBe(join(folder, 'broken.png'));
    expect(failed?.error).toMatch(/it is no picture/);
  });
});

describe('the network’s own last layer', () => {
  it('names its classes, the most probable first', async () => {
    const picture = join(data, 'val', 'flat', '0.png');
    const all = await predictPretrainedClasses(backbone, picture, { labels: ['a', 'b', 'c', 'd', 'e'], topK: 5 });
    expect(all.map(({ label }) => label).sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(all.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 10);
    expect(await predictPretrainedClasses(backbone, picture, { topK: 1 })).toEqual([
      { label: String('abcde'.indexOf(all[0]?.label ?? '')), probability: all[0]?.probability },
    ]);
  });
});

describe('training', () => {
  async function trainOn(manifest: string): Promise<unknown> {
    const path = join(folder, 'train.csv');
    await writeFile(path, manifest);
    await embedDataset(path, { backbone, store });
    return trainFromStore({ store, dataset: path });
  }

  it('says plainly why it cannot be done', async () => {
    const flat = (i: number) => `data/train/flat/${i}.png`;
    await expect(trainOn(`path\n${flat(0)}\n`)).rejects.toThrow(/no labelled pictures \(1 without a label/);
    await expect(trainOn(`path,label\n${flat(0)},a\n${flat(1)},a\n`)).rejects.toThrow(/one class/);
    await expect(trainOn(`path,label\n${flat(0)},a\n${flat(1)},a\n${flat(2)},b\n`)).rejects.toThrow(/"b" has only one/);
    await expect(trainFromStore({ store, dataset: join(folder, 'never') })).rejects.toThrow(/never is not in/);
  });

  it('does not mix the embeddings of two models', async () => {
    const other = await loadBackbone({ model: join(folder, 'other.onnx') });
    await embedDataset(data, { backbone: other, store });
    await expect(trainFromStore({ store, dataset: data })).rejects.toThrow(/several models.*Choose one: --model/);
    const { head } = await trainFromStore({ store, dataset: data, model: other.id });
    expect(head.modelId).toBe(other.id);
  });

  it('leaves the backbone as it was', async () => {
    expect(readFileSync(model).equals(smallNetwork())).toBe(true);
    expect((await loadBackbone({ model })).id).toBe(backbone.id);
  });
});
