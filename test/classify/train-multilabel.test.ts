import { join } from 'node:path';
import { trainFromStore, type TrainOptions } from '../../src/classify/train.js';
import { uniform } from '../head/data.js';
import { type PlainRow, writeStore } from '../support/embeddings.js';
import { temporaryFolder } from '../support/files.js';

const WIDTH = 6;
const root = await temporaryFolder();
let made = 0;

/** So many pictures: every third shows an ant, every fourth a bee, and what is common to them. */
function pictures(count: number, seed: number, common: string[] = [], split: string | null = null): PlainRow[] {
  const random = uniform(seed);
  return Array.from({ length: count }, (_, i) => ({
    path: `/data/${seed}-${String(i).padStart(3, '0')}.jpg`,
    labels: JSON.stringify([...(i % 3 === 0 ? ['ant'] : []), ...(i % 4 === 0 ? ['bee'] : []), ...common]),
    split,
    embedding: Float32Array.from(
      { length: WIDTH },
      (__, j) => 3 * random() + ((j === 0 && i % 3 === 0) || (j === 1 && i % 4 === 0) ? 2 : 0),
    ),
  }));
}

async function train(rows: readonly PlainRow[], options: TrainOptions = {}) {
  const store = join(root, String(made++));
  await writeStore(store, rows, WIDTH);
  const trained = await trainFromStore({ store, ...options });
  if (trained.kind !== 'multilabel') throw new Error('A multilabel head was expected.');
  return trained;
}

test('a validation split is judged by, a test split is not touched, and labels new in it are counted', async () => {
  const rows = [...pictures(48, 1, [], 'train'), ...pictures(24, 2, ['moth'], 'val')];
  const { head, validation, validatedOn, unused } = await train([...rows, ...pictures(12, 3, [], 'test')]);
  expect(validatedOn).toBe('validation split');
  expect(head.labels).toEqual(['ant', 'bee']);
  expect(head.counts).toEqual({ train: [16, 12], validation: [8, 6] });
  expect(validation).toMatchObject({ count: 24, unknown: [{ label: 'moth', count: 24 }] });
  expect(unused.test).toBe(12);
});

test('a part that is held out has its share of each label', async () => {
  const { head, validation, validatedOn } = await train(pictures(48, 1), { holdOut: 0.25 });
  expect(validatedOn).toBe('held-out part');
  expect(validation?.count).toBe(12);
  const [ants = 0, bees = 0] = head.counts.validation;
  expect(ants).toBeGreaterThanOrEqual(3);
  expect(bees).toBeGreaterThanOrEqual(2);
  expect(head.counts.train).toEqual([16 - ants, 12 - bees]);
});

test('without cross-validation thresholds are ½, and larger data sets are read in blocks to the same head', async () => {
  const fixed = { folds: 0, l2: 0.1 };
  const inMemory = await train(pictures(48, 1), fixed);
  expect(inMemory).toMatchObject({ validation: undefined, head: { thresholds: [0.5, 0.5] } });
  const inBlocks = await train(pictures(48, 1), { ...fixed, memory: 1 });
  const expected = inMemory.head.weights.to1DArray();
  inBlocks.head.weights.to1DArray().forEach((weight, i) => {
    expect(weight).toBeCloseTo(expected[i] ?? NaN, 5);
  });
});
