import { join } from 'node:path';
import { trainFromStore, type TrainOptions } from '../../src/classify/train.js';
import { loadHead, saveHead } from '../../src/head/file.js';
import { trainHead } from '../../src/head/train.js';
import { sha256Of } from '../../src/util/hash.js';
import { uniform } from '../head/data.js';
import { MODEL_ID, type PlainRow, TRANSFORM_ID, writeStore } from '../support/embeddings.js';
import { temporaryFolder } from '../support/files.js';
import { ofClasses } from '../support/softmax.js';

const WIDTH = 6;
const root = await temporaryFolder();
let made = 0;

/** So many pictures of ants and bees that overlap; every third is a bee. */
function pictures(count: number, seed: number, common: Partial<PlainRow> = {}): PlainRow[] {
  const random = uniform(seed);
  return Array.from({ length: count }, (_, i) => ({
    path: `/data/${seed}-${String(i).padStart(3, '0')}.jpg`,
    label: i % 3 === 0 ? 'bee' : 'ant',
    embedding: Float32Array.from({ length: WIDTH }, (__, j) => 3 * random() + (j === 0 && i % 3 === 0 ? 1.5 : 0)),
    ...common,
  }));
}

async function train(rows: readonly PlainRow[], options: TrainOptions = {}) {
  const store = join(root, String(made++));
  await writeStore(store, rows, WIDTH);
  const notices: string[] = [];
  const trained = ofClasses(await trainFromStore({ store, onNotice: (line) => notices.push(line), ...options }));
  return { ...trained, notices, store };
}

function weightsOf({ head }: { head: { weights: { to1DArray(): number[] } } }): number[] {
  return head.weights.to1DArray();
}

describe('a head from the store', () => {
  it('is judged on the validation split, and the test split is not touched', async () => {
    const rows = [...pictures(60, 1, { split: 'train' }), ...pictures(30, 2, { split: 'val' })];
    const trained = await train([...rows, ...pictures(9, 3, { split: 'test' })]);
    expect(trained.validatedOn).toBe('validation split');
    expect(trained.validation?.count).toBe(30);
    expect(trained.head.counts).toEqual({ train: [40, 20], validation: [20, 10] });
    expect(trained.unused).toEqual({ failed: 0, unlabelled: 0, test: 9 });
    expect(trained.baselines?.nearestCentroid.count).toBe(30);
    const without = await train(rows);
    expect(weightsOf(without)).toEqual(weightsOf(trained));
  });

  it.each([
    [['val'], /in the split val, to evaluate on\. Add a train split.*name the folder val itself/],
    [['test'], /in the split test, .*name the folder test itself/],
    [['test', 'val'], /its 18 pictures are all in the split val or test,/],
  ] as const)('is refused where all pictures are of the splits %j', async (splits, message) => {
    await expect(train(splits.flatMap((split, i) => pictures(9, i, { split })))).rejects.toThrow(message);
  });

  it('is judged by cross-validation where there is none, and trained on everything', async () => {
    const trained = await train(pictures(60, 1));
    expect(trained.validatedOn).toBe('cross-validation');
    expect(trained.validation).toBe(trained.crossValidation?.evaluation);
    expect(trained.validation?.count).toBe(60);
    expect(trained.head.counts).toEqual({ train: [40, 20], validation: [0, 0] });
    expect(trained.baselines?.nearestNeighbours.count).toBe(60);
  });

  it('is judged on a part that is held out where that is wanted', async () => {
    const trained = await train(pictures(60, 1), { holdOut: 0.25 });
    expect(trained.validatedOn).toBe('held-out part');
    expect(trained.head.counts).toEqual({ train: [30, 15], validation: [10, 5] });
  });

  it('is not judged where there is neither', async () => {
    const trained = await train(pictures(60, 1), { folds: 0, l2: 0.1 });
    expect(trained).toMatchObject({ validatedOn: 'nothing', validation: undefined, baselines: undefined });
  });

  it('keeps in its file what was measured of it', async () => {
    const trained = await train(pictures(60, 1), { learningCurve: true });
    const path = join(root, 'measured.safetensors');
    await saveHead(path, trained.head);
    const { metrics, temperature, unknown } = await loadHead(path);
    expect(metrics).toMatchObject({
      validatedOn: 'cross-validation',
      validation: {
        count: 60,
        accuracy: trained.validation?.accuracy,
        calibration: { bins: expect.any(Array) as [] },
      },
      crossValidation: {
        folds: 5,
        path: trained.crossValidation?.path,
        temperature,
        unknown: { rate: unknown?.rate, flaggedRight: expect.closeTo(0.05, 1) as number },
      },
      baselines: { nearestNeighbours: { k: 10 } },
      learningCurve: trained.learningCurve,
    });
    expect(trained.learningCurve).toHaveLength(5);
  });

  it('counts validation pictures of classes that were not learnt apart', async () => {
    const rows = [...pictures(60, 1, { split: 'train' }), ...pictures(30, 2, { split: 'val' })];
    const trained = await train([...rows, ...pictures(4, 3, { split: 'val', label: 'moth' })]);
    expect(trained.head.labels).toEqual(['ant', 'bee']);
    expect(trained.validation).toMatchObject({ count: 30, unknown: [{ label: 'moth', count: 4 }] });
  });

  it('leaves pictures without a label or an embedding out, and says how many', async () => {
    const failed = { path: '/data/bad.jpg', label: 'ant', embedding: null, error: 'no picture' };
    const trained = await train([...pictures(60, 1), ...pictures(5, 2, { label: null }), failed]);
    expect(trained.unused).toEqual({ failed: 1, unlabelled: 5, test: 0 });
    expect(weightsOf(trained)).toEqual(weightsOf(await train(pictures(60, 1))));
  });
});

describe('what the manifest says of a picture', () => {
  it('keeps pictures of a group on one side of a hold-out', async () => {
    const rows = pictures(60, 1).map((row, i) => ({ ...row, group: `subject ${i % 12}` }));
    const { head } = await train(rows, { holdOut: 0.25 });
    // Groups have five pictures, all of one class: their number is a multiple of that.
    expect(head.counts.validation.map((count) => count % 5)).toEqual([0, 0]);
    expect(Math.min(...head.counts.validation)).toBeGreaterThan(0);
  });

  it('weighs pictures', async () => {
    const rows = pictures(60, 1).map((row, i) => ({ ...row, weight: i % 2 === 0 ? 3 : null }));
    const trained = await train(rows, { l2: 0.1, folds: 0 });
    const expected = await trainHead({
      modelId: MODEL_ID,
      transformId: TRANSFORM_ID,
      width: WIDTH,
      embeddings: Float32Array.from(rows.flatMap(({ embedding }) => [...(embedding ?? [])])),
      labels: rows.map(({ label }) => label ?? ''),
      sampleWeights: rows.map(({ weight }) => weight ?? 1),
      l2: 0.1,
    });
    expect(weightsOf(trained)).toEqual(weightsOf({ head: expected }));
  });

  it('is told where validation pictures are known from training', async () => {
    const rows = [...pictures(60, 1, { split: 'train' }), ...pictures(30, 2, { split: 'val' })];
    const doubled = rows.map((row, i) =>
      i === 0 || i === 60 || i === 61 ? { ...row, sha256: sha256Of('same') } : row,
    );
    expect((await train(doubled)).notices.join('\n')).toMatch(
      /^2 validation pictures of \/data are identical to a training picture, or in a group with one/,
    );
    expect((await train(rows)).notices).toEqual([]);
  });
});

describe('embeddings', () => {
  it('that would fill the memory are read in blocks and give the same head', async () => {
    const rows = [...pictures(60, 1), ...pictures(5, 2, { label: null })];
    const [small, large] = [await train(rows, { memory: 100 }), await train(rows)];
    expect(small.notices.join('\n')).toMatch(/take .* of memory, so they are read from the store again and again/);
    expect(small.head.l2).toBe(large.head.l2);
    expect(small.head.training.loss).toBeCloseTo(large.head.training.loss, 6);
    weightsOf(small).forEach((w, i) => {
      expect(w).toBeCloseTo(weightsOf(large)[i] ?? NaN, 3);
    });
  });

  it.each([NaN, Infinity])('that hold %d are refused, by the name of the picture', async (bad) => {
    const rows = pictures(60, 1);
    const spoilt = rows.map((row, i) => (i === 41 ? { ...row, embedding: row.embedding?.with(2, bad) ?? null } : row));
    await expect(train(spoilt)).rejects.toThrow(/NaN or infinite values for \/data\/1-041\.jpg/);
  });
});

test('a class with a single picture is refused by name', async () => {
  const rows = [...pictures(60, 1), ...pictures(1, 2, { label: 'moth' })];
  await expect(train(rows)).rejects.toThrow(/The class "moth" has only one training example/);
});

test('classes of two pictures are cross-validated in three folds', async () => {
  const { crossValidation } = await train([...pictures(60, 1), ...pictures(2, 2, { label: 'moth' })]);
  expect(crossValidation).toMatchObject({ folds: 3, neverHeld: 0 });
});
