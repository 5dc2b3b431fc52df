import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Matrix } from 'ml-matrix';
import { Tensor } from 'onnxruntime-node';
import sharp from 'sharp';
import { loadBackbone } from '../../src/backbone/load.js';
import { Classifier } from '../../src/classify/classifier.js';
import { trainFromStore } from '../../src/classify/train.js';
import { embedDataset } from '../../src/embed/embed.js';
import { exportOnnx } from '../../src/export/onnx.js';
import { decodeModel, encodeModel, graphOf } from '../../src/formats/onnx/model.js';
import { unknownRule } from '../../src/head/unknown.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { madeUpHead } from '../support/made-up-head.js';
import { metadataOf, runOnnx } from '../support/onnx.js';
import { smallNetwork } from '../support/small-network.js';

const folder = await temporaryFolder();
const model = join(folder, 'small.onnx');
await writeFile(model, smallNetwork());
const backbone = await loadBackbone({ model });
const path = join(folder, 'out', 'classifier.onnx');
let pictures: string[];
let classifier: Classifier;

beforeAll(async () => {
  const data = join(folder, 'data');
  const counts = { train: { flat: 12, steep: 12, slanted: 12 }, val: { flat: 4, steep: 4, slanted: 4 } };
  pictures = (await stripedDataset(data, counts)).slice(36);
  const store = join(folder, 'store');
  await embedDataset(data, { backbone, store });
  const { head } = await trainFromStore({ store });
  classifier = new Classifier(backbone, head);
});

/** What predict makes of a picture. */
async function predicted({ backbone, head }: Classifier, picture: string) {
  const { predictions, typicality, unknown } = await new Classifier(backbone, head).classify(picture, { topK: 9 });
  const of = (label: string) => predictions.find((each) => each.label === label)?.probability ?? NaN;
  return { probabilities: head.labels.map(of), typicality, unknown };
}

async function bytesOf(picture: string): Promise<Tensor> {
  const { data, info } = await sharp(picture).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  return new Tensor('uint8', data, [1, info.height, info.width, 3]);
}

/** A picture that needs neither resizing nor cropping, and its normalised planes by torchvision's formula. */
async function square(picture: string) {
  const file = join(folder, 'square.png');
  await sharp(picture)
    .resize(224, 224, { fit: 'fill' })
    .extend({ top: 16, bottom: 16, left: 16, right: 16 })
    .toFile(file);
  const pixels = await sharp(picture).resize(224, 224, { fit: 'fill' }).removeAlpha().raw().toBuffer();
  const [mean, std] = [
    [0.485, 0.456, 0.406],
    [0.229, 0.224, 0.225],
  ];
  const planes = Float32Array.from({ length: pixels.length }, (_, i) => {
    const c = Math.floor(i / 224 ** 2);
    return ((pixels[3 * (i % 224 ** 2) + c] ?? NaN) / 255 - (mean[c] ?? NaN)) / (std[c] ?? NaN);
  });
  return { file, pixels, planes };
}

it('image: pictures of any size give what predict gives, but for the resizing', async () => {
  const { check, input, outputs, bytes } = await exportOnnx(classifier, path, { pictures });
  expect({ input, outputs, bytes }).toEqual({
    input: 'image',
    outputs: ['probabilities', 'logits', 'embedding', 'typicality', 'unknown'],
    bytes: readFileSync(path).length,
  });
  expect(check).toMatchObject({ pictures: 12, sameTop: 12 });
  expect(check.largestDifference).toBeLessThan(0.01);
  const measured: number[] = [];
  for (const picture of pictures) {
    const found = await runOnnx(path, await bytesOf(picture));
    const { probabilities, unknown } = await predicted(classifier, picture);
    expect(found['probabilities']?.dims).toEqual([1, 3]);
    expect(found['unknown']?.values).toEqual([Number(unknown)]);
    measured.push(largestDifference(found['probabilities']?.values, probabilities));
  }
  expect(Math.max(...measured)).toBeCloseTo(check.largestDifference, 6);
  expect(measured.reduce((sum, value) => sum + value, 0) / 12).toBeCloseTo(check.meanDifference, 6);
});

it.each(['pixels', 'tensor'] as const)('%s: the same pixels give the same probabilities', async (input) => {
  const { check } = await exportOnnx(classifier, path, { input, pictures });
  expect(check).toMatchObject({ pictures: 12, sameTop: 12 });
  expect(check.largestDifference).toBeLessThan(1e-5);
  const { file, pixels, planes } = await square(pictures[0] ?? '');
  const found = await runOnnx(
    path,
    input === 'pixels'
      ? new Tensor('uint8', pixels, [1, 224, 224, 3])
      : new Tensor('float32', planes, [1, 3, 224, 224]),
  );
  const { probabilities } = await predicted(classifier, file);
  expect(largestDifference(found['probabilities']?.values, probabilities)).toBeLessThan(1e-5);
});

describe('with explain, shares are an output', () => {
  it.each(['image', 'pixels', 'tensor'] as const)(
    '%s: they are those of explain, and their means the logits',
    async (input) => {
      const { check, outputs } = await exportOnnx(classifier, path, { input, explain: true, pictures });
      expect(outputs).toEqual(['probabilities', 'logits', 'embedding', 'shares', 'typicality', 'unknown']);
      expect(check.largestShareDifference).toBeLessThan(input === 'image' ? 0.1 : 1e-5);
      const { file, pixels, planes } = await square(pictures[0] ?? '');
      const whole = await bytesOf(file);
      const { shares, logits } = await runOnnx(
        path,
        input === 'pixels'
          ? new Tensor('uint8', pixels, [1, 224, 224, 3])
          : input === 'tensor'
            ? new Tensor('float32', planes, [1, 3, 224, 224])
            : whole,
      );
      expect(shares?.dims).toEqual([1, 3, 55, 55]);
      for (const [n, label] of classifier.head.labels.entries()) {
        const own = shares?.values.slice(n * 55 ** 2, (n + 1) * 55 ** 2) ?? [];
        const mean = own.reduce((sum, share) => sum + share, 0) / own.length;
        expect(mean).toBeCloseTo(logits?.values[n] ?? NaN, 4);
        const expected = await classifier.explain(file, { label });
        const largest = Math.max(...expected.shares.flat().map(Math.abs));
        expect(largestDifference(own, expected.shares.flat()) / largest).toBeLessThan(1e-5);
      }
    },
  );

  it('in int8, too', async () => {
    const int8 = await loadBackbone({ modelsDir: join(folder, 'none') });
    expect(int8.quantized).toBe(true);
    const made = new Classifier(int8, madeUpHead(int8));
    const { check } = await exportOnnx(made, path, { input: 'pixels', explain: true, pictures: pictures.slice(0, 2) });
    expect(check.largestShareDifference).toBeLessThan(1e-5);
  });

  it('which a network without a feature map is refused for, by name', async () => {
    const other = join(folder, 'maximum.onnx');
    const network = decodeModel(smallNetwork(), other);
    for (const each of graphOf(network, other).node) {
      if (each.opType === 'GlobalAveragePool') each.opType = 'GlobalMaxPool';
    }
    await writeFile(other, encodeModel(network));
    const maximum = await loadBackbone({ model: other });
    const made = new Classifier(maximum, madeUpHead(maximum));
    await expect(exportOnnx(made, path, { explain: true, pictures })).rejects.toThrow(`${other} has no feature map`);
  });
});

it('several pictures of one size go through together', async () => {
  await exportOnnx(classifier, path, { pictures });
  const images = await Promise.all(pictures.slice(0, 3).map(bytesOf));
  const together = new Tensor('uint8', Buffer.concat(images.map(({ data }) => data as Uint8Array)), [3, 64, 80, 3]);
  const { probabilities, typicality, unknown, embedding } = await runOnnx(path, together);
  expect([probabilities, typicality, unknown, embedding].map((each) => each?.dims)).toEqual([[3, 3], [3], [3], [3, 8]]);
  const alone = await Promise.all(
    images.map(async (image) => (await runOnnx(path, image))['probabilities']?.values ?? []),
  );
  expect(largestDifference(probabilities?.values, alone.flat())).toBeLessThan(1e-6);
});

it.each([
  ['all scores', 30],
  ['201 of many scores', 5000],
] as const)('typicality and unknown are those of predict, with %s', async (_, count) => {
  // The embeddings of pictures, noise and a plain grey, whose scores range widely.
  const { crop } = backbone.transform;
  const pixels = Array.from({ length: 16 }, (_, k) =>
    Uint8Array.from({ length: 3 * crop ** 2 }, (_, i) => 128 + ((k * Math.sin(i * (k + 1))) / 15) * 127),
  );
  const together = Buffer.concat(pixels);
  const { embedding } = await backbone.run(together);
  const scores = Array.from({ length: count }, (_, i) => 1.2 * (i / count) ** 0.1 - 0.2 + 1e-3 * Math.sin(i));
  const typical = unknownRule(scores, Array<boolean>(count).fill(true), 0.5)?.typical;
  const { unknown } = classifier.head;
  const head = classifier.head.with({ unknown: unknown && typical && { ...unknown, typical, rate: 0.5 } });
  await exportOnnx(new Classifier(backbone, head), path, { input: 'pixels', pictures: pictures.slice(0, 1) });
  const found = await runOnnx(path, new Tensor('uint8', together, [16, crop, crop, 3]));
  const expected = head.typicality(embedding);
  const typicalities = expected.map(({ typicality }) => typicality ?? NaN);
  expect(new Set(typicalities).size).toBeGreaterThan(3);
  expect(largestDifference(found['typicality']?.values, typicalities)).toBeLessThan(1e-4);
  expect(found['unknown']?.values).toEqual(expected.map(({ unknown }) => Number(unknown)));
  expect(new Set(found['unknown']?.values).size).toBe(2);
});

it('a head that calls no picture unknown tells how typical they are all the same', async () => {
  const off = new Classifier(backbone, classifier.head, { unknown: 'off' });
  const { outputs } = await exportOnnx(off, path, { pictures: pictures.slice(0, 1) });
  expect(outputs).toEqual(['probabilities', 'logits', 'embedding', 'typicality']);
  expect(metadataOf(path)).toMatchObject({ unknownRate: '"off"' });
});

it('the metadata hold the labels and what else is known', async () => {
  await exportOnnx(classifier, path, { pictures: pictures.slice(0, 1) });
  const { head } = classifier;
  expect(metadataOf(path)).toMatchObject({
    ...{ labels: '["flat","slanted","steep"]', kind: 'softmax', input: 'image', thresholds: 'null' },
    ...{ modelId: backbone.id, transformId: backbone.transformId, created: head.created },
    ...{ temperature: String(head.temperature), unknownRate: '0.05' },
    transform: expect.stringMatching(/^\{"resize":256,"crop":224,"mean":\[0\.485,0\.456,0\.406\]/) as string,
    lastlayer: expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
  });
});

it('the same backbone and head give the same bytes', async () => {
  await exportOnnx(classifier, path, { pictures: pictures.slice(0, 1) });
  const before = readFileSync(path);
  await exportOnnx(classifier, path, { pictures: pictures.slice(1, 2) });
  expect(readFileSync(path).equals(before)).toBe(true);
});

it('a temperature and a head of several labels are in the network, too', async () => {
  const head = classifier.head.with({
    kind: 'multilabel',
    thresholds: [0.3, 0.4, 0.5],
    temperature: 2.5,
    unknown: null,
  });
  const multilabel = new Classifier(backbone, head);
  const { outputs } = await exportOnnx(multilabel, path, { input: 'image', pictures });
  expect(outputs).toEqual(['probabilities', 'logits', 'embedding']);
  expect(metadataOf(path)).toMatchObject({ kind: 'multilabel', thresholds: '[0.3,0.4,0.5]' });
  const { probabilities, logits } = await runOnnx(path, await bytesOf(pictures[0] ?? ''));
  // Before the temperature.
  const sigmoids = logits?.values.map((z) => 1 / (1 + Math.exp(-z / 2.5))) ?? [];
  expect(largestDifference(probabilities?.values, sigmoids)).toBeLessThan(1e-6);
  const { probabilities: expected } = await predicted(multilabel, pictures[0] ?? '');
  expect(largestDifference(probabilities?.values, expected)).toBeLessThan(0.01);
});

it('a picture that cannot be read is told of; where there is none, nothing is written', async () => {
  const bad = join(folder, 'bad.png');
  await writeFile(bad, 'no picture');
  const notices: string[] = [];
  const onNotice = (line: string) => void notices.push(line);
  const { check } = await exportOnnx(classifier, path, {
    pictures: [bad, ...pictures.slice(0, 2)],
    onNotice,
  });
  expect(check.pictures).toBe(2);
  expect(notices).toEqual([expect.stringMatching(/^Not compared on .*bad\.png: /)]);
  const other = join(folder, 'other.onnx');
  await expect(exportOnnx(classifier, other, { pictures: [bad] })).rejects.toThrow(
    /other\.onnx was not written: there was no readable picture to check it on/,
  );
  expect(existsSync(other)).toBe(false);
});

it('a network that cannot be as good as predict is not written', async () => {
  // In float32 the two largest weights leave no digit for the others, in which predict computes in float64.
  const weights = Matrix.from1DArray(
    3,
    8,
    classifier.head.weights.to1DArray().map((w, i) => (i % 8 < 2 ? 1e9 : w)),
  );
  const absurd = new Classifier(backbone, classifier.head.with({ weights, temperature: 1 }));
  const other = join(folder, 'absurd.onnx');
  await expect(exportOnnx(absurd, other, { input: 'tensor', pictures })).rejects.toThrow(
    /absurd\.onnx was not written: .* differ from predict's by 0\.\d+ on the same pixels/,
  );
  expect(existsSync(other)).toBe(false);
});

function largestDifference(found: readonly number[] = [], expected: readonly number[]): number {
  expect(found).toHaveLength(expected.length);
  return Math.max(...expected.map((value, i) => Math.abs(value - (found[i] ?? NaN))));
}
