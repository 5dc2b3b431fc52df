import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { loadBackbone } from '../../src/backbone/load.js';
import { Classifier, embedImages } from '../../src/classify/classifier.js';
import { evaluateDataset } from '../../src/classify/evaluate.js';
import { trainFromStore } from '../../src/classify/train.js';
import { embedDataset } from '../../src/embed/embed.js';
import { trainHead } from '../../src/head/train.js';
import { UsageError } from '../../src/util/errors.js';
import { sha256Of } from '../../src/util/hash.js';
import { type PlainRow, writeStore } from '../support/embeddings.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';
import { ofClasses } from '../support/softmax.js';

const root = await temporaryFolder();
const WIDTH = 6;

/** Numbers from −1 to 1 that look random. */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** Pictures of two classes, some of them with further views; by `signal`, the class shows in the features. */
function pictures(count: number, signal: number, viewsOf: (i: number) => string[]): PlainRow[] {
  const random = noise(count);
  return Array.from({ length: count }, (_, i) => {
    const label = i % 2 ? 'a' : 'b';
    const row = () => Float32Array.from({ length: WIDTH }, () => random() + (i % 2 ? signal : -signal));
    const path = `/data/${String(i).padStart(3, '0')}.png`;
    const common = { path, label, split: i < count * 0.8 ? 'train' : 'val' };
    return ['center', ...viewsOf(i)].map((view) => ({ ...common, view, embedding: row() }));
  }).flat();
}

describe('training on several views of a picture', () => {
  const rows = pictures(50, 0.3, (i) => (i % 3 === 0 ? [] : i % 3 === 1 ? ['flip'] : ['flip', 'top-left']));
  const options = { l2: 0.01, folds: 0 };
  let store = '';

  beforeAll(async () => {
    store = join(root, 'store');
    await writeStore(store, rows, WIDTH);
  });

  /** The head of rows given one by one, each with its part of its picture's weight. */
  async function headOf(learnt: readonly PlainRow[]) {
    const views = (path: string) => learnt.filter((row) => row.path === path).length;
    const { weights, bias } = await trainHead({
      embeddings: Float32Array.from(learnt.flatMap(({ embedding }) => [...(embedding ?? [])])),
      labels: learnt.map(({ label }) => label ?? ''),
      sampleWeights: learnt.map(({ path }) => 1 / views(path)),
      ...{ width: WIDTH, l2: 0.01, modelId: 'm', transformId: 't' },
    });
    return [...weights.to1DArray(), ...bias];
  }

  const train = rows.filter(({ split }) => split === 'train');

  it.each([
    ['all of them', {}, train],
    ['none', { views: [] }, train.filter(({ view }) => view === 'center')],
    ['mirror images', { views: ['flip'] as const }, train.filter(({ view }) => view !== 'top-left')],
    ['all of them, read in blocks', { memory: 1 }, train],
  ])('weighs each picture once: %s', async (_, wanted, learnt) => {
    const found = await trainFromStore({ store, ...options, ...wanted });
    expect(found.views).toBe(learnt.filter(({ view }) => view !== 'center').length);
    const expected = await headOf(learnt);
    const actual = [...found.head.weights.to1DArray(), ...found.head.bias];
    for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i] ?? NaN, 4);
    // Pictures are counted, and judged by, not views of them.
    expect(found.train.count).toBe(40);
    expect(found.validation?.count).toBe(10);
    expect(found.head.counts).toEqual({ train: [20, 20], validation: [5, 5] });
  });

  it('does not learn from views of what a file held before', async () => {
    const stale = join(root, 'stale');
    await writeStore(
      stale,
      rows.map((row) => (row.view === 'flip' ? { ...row, sha256: sha256Of('something else') } : row)),
      WIDTH,
    );
    const found = await trainFromStore({ store: stale, ...options });
    expect(found.views).toBe(train.filter(({ view }) => view === 'top-left').length);
  });
});

test('views of a picture never stand on both sides of a fold', async () => {
  // Labels have nothing to do with the features, but each view is a copy: a head that saw one would know the other.
  const store = join(root, 'copies');
  const centers = pictures(60, 0, () => []).map((row) => ({ ...row, split: null }));
  const flips = centers.map((row) => ({ ...row, view: 'flip' }));
  await writeStore(store, [...centers, ...flips], WIDTH);
  const options = { store, l2: 1e-3 };
  const [without, withCopies] = [
    ofClasses(await trainFromStore({ ...options, views: [] })),
    ofClasses(await trainFromStore(options)),
  ];
  expect(withCopies.views).toBe(60);
  expect(withCopies.crossValidation?.evaluation.count).toBe(60);
  // Copies change nothing at all, but for rounding.
  expect(withCopies.crossValidation?.chosen.logLoss).toBeCloseTo(without.crossValidation?.chosen.logLoss ?? NaN, 3);
  expect(withCopies.crossValidation?.evaluation.accuracy).toBe(without.crossValidation?.evaluation.accuracy);
});

test('heads of several labels learn from views, too', async () => {
  const store = join(root, 'labels');
  const rows = pictures(60, 0.5, () => ['flip']).map(({ label, ...row }, i) => ({
    ...row,
    labels: JSON.stringify(label === 'a' ? ['a'] : i % 4 ? [] : ['c']),
  }));
  await writeStore(store, rows, WIDTH);
  const found = await trainFromStore({ store });
  expect([found.kind, found.views, found.train.count]).toEqual(['multilabel', 48, 48]);
});

describe('judging by several views', () => {
  it('averages the logits of the picture and its mirror image', async () => {
    const model = join(root, 'small.onnx');
    await writeFile(model, smallNetwork());
    const backbone = await loadBackbone({ model });
    const data = join(root, 'data');
    const store = join(root, 'pictures');
    await stripedDataset(data, { train: { flat: 12, slanted: 12 }, val: { flat: 4, slanted: 4 } });
    await embedDataset(data, { backbone, store, views: ['flip'] });
    const { head } = await trainFromStore({ store });

    const path = join(data, 'val', 'slanted', '0.png');
    const embeddings = await embedImages(backbone, [path, await sharp(path).flop().png().toBuffer()]);
    const logits = head
      .logits(embeddings)
      .mean('column')
      .map((z) => z / head.temperature);
    const both = new Classifier(backbone, head, { views: ['flip'] });
    const [predicted] = await both.predict(path);
    const sum = logits.reduce((total, z) => total + Math.exp(z), 0);
    const expected = Math.exp(logits[head.indexOf(predicted?.label ?? '') ?? -1] ?? NaN) / sum;
    expect(predicted?.probability).toBeCloseTo(expected, 3);
    const [alone] = await new Classifier(backbone, head).predict(path);
    expect(Math.abs((alone?.probability ?? 0) - expected)).toBeGreaterThan(1e-3);

    // The same pictures one by one, whatever the store has of them.
    const validation = await evaluateDataset(both, data, { store });
    expect(validation).toMatchObject({ count: 8, split: 'val' });
    const losses = [];
    for (const label of ['flat', 'slanted']) {
      for (let i = 0; i < 4; i++) {
        const found = await both.predict(join(data, 'val', label, `${i}.png`), { topK: 2 });
        losses.push(-Math.log(found.find((each) => each.label === label)?.probability ?? NaN));
      }
    }
    expect(validation.logLoss).toBeCloseTo(losses.reduce((a, b) => a + b, 0) / 8, 5);
    expect((await evaluateDataset(both, data, { store, split: 'train' })).count).toBe(24);
    expect(() => new Classifier(backbone, head, { views: ['up' as 'flip'] })).toThrow(UsageError);
  });
});
