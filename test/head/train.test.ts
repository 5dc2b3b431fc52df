import { DEFAULT_L2 } from '../../src/head/fit.js';
import { trainHead, type TrainHeadOptions } from '../../src/head/train.js';
import { LastlayerError, UsageError } from '../../src/util/errors.js';
import { IDS, overlapping, separable } from './data.js';

const DATA = { ...IDS, embeddings: overlapping().embeddings, width: 4, labels: overlapping().labels };

/** b is determined but for a constant, which softmax does not see. */
function centred(bias: Float32Array): number[] {
  const mean = bias.reduce((sum, b) => sum + b, 0) / bias.length;
  return [...bias].map((b) => b - mean);
}

function expectClose(found: readonly number[], expected: readonly number[], relative: number): void {
  expect(found).toHaveLength(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  found.forEach((value, i) => {
    expect(Math.abs(value - (expected[i] ?? NaN))).toBeLessThan(relative * largest);
  });
}

// Expected: scikit-learn 1.9, LogisticRegression(C=1 / (60 * 0.05), solver='newton-cholesky', tol=1e-12) on the same
// rows in float64; with whitening, on half-whitened features by numpy.linalg.eigh, and folded back.
test('without whitening the optimum is scikit-learn’s', async () => {
  const head = await trainHead({ ...DATA, l2: 0.05, whiten: false });
  expect(head.training).toMatchObject({
    converged: true,
    reason: 'gradient',
    whiten: false,
    tolerance: 1e-6,
  });
  expect(head.training.gradientNorm).toBeLessThanOrEqual(1e-6);
  expect(Math.abs(head.training.loss / 0.9147651532312951 - 1)).toBeLessThan(1e-6);
  expectClose(
    head.weights.to1DArray(),
    [0.2506895, -0.538483, -0.0727913, 0.002184, -0.1874433, 0.6045149].concat([
      -0.0521516, 0.0024941, -0.0632462, -0.0660319, 0.124943, -0.0046781,
    ]),
    1e-4,
  );
  expectClose(centred(head.bias), [0.947346, -0.456614, -0.490732], 1e-4);
});

test('with whitening the optimum is scikit-learn’s on half-whitened features, folded back', async () => {
  const head = await trainHead({ ...DATA, l2: 0.05 });
  expect(head.training).toMatchObject({ converged: true, whiten: true });
  expect(Math.abs(head.training.loss / 0.8223965194010179 - 1)).toBeLessThan(1e-6);
  const expected = [
    [10.6176757, -0.8958585, -0.0637455, 0.0021311],
    [-7.03087, 0.895054, -0.0369614, 0.0018686],
    [-3.5868057, 0.0008045, 0.1007069, -0.0039997],
  ];
  for (let j = 0; j < 4; j++) {
    expectClose(
      head.weights.getColumn(j),
      expected.map((row) => row[j] ?? NaN),
      1e-4,
    );
  }
  expectClose(centred(head.bias), [0.9122051, -0.6813592, -0.2308459], 1e-4);

  const proba = head.predictProba(DATA.embeddings).to2DArray();
  const right = proba.filter((row, i) => row.indexOf(Math.max(...row)) === head.indexOf(DATA.labels[i] ?? ''));
  expect(right.length / 60).toBeCloseTo(0.6166666666666667, 12);
});

/** Of the classes, 20, 10 and 5 rows, with the weights ½, 1, 1½, 2, 2½ in turn. */
function imbalanced() {
  const kept = DATA.labels.map((_, i) => i).filter((i) => i % 3 === 0 || (i % 3 === 1 && i % 2 === 0) || i % 12 === 5);
  return {
    ...IDS,
    width: 4,
    embeddings: Float32Array.from(kept.flatMap((i) => [...DATA.embeddings.subarray(4 * i, 4 * i + 4)])),
    labels: kept.map((i) => DATA.labels[i] ?? ''),
    sampleWeights: kept.map((i) => 0.5 + (i % 5) / 2),
  };
}

// Expected: scikit-learn 1.9 as above, with sample_weight, class_weight='balanced' and both; C = 1 / (Σw λ).
test('weights are scikit-learn’s sample_weight and class_weight', async () => {
  const { sampleWeights, ...data } = imbalanced();
  const all = DATA.labels.map((_, i) => 0.5 + (i % 5) / 2);
  const weighted = await trainHead({ ...DATA, l2: 0.05, sampleWeights: all });
  expect(weighted.training.loss / 0.8769602210216567).toBeCloseTo(1, 6);
  const balanced = await trainHead({ ...data, l2: 0.05, classWeights: 'balanced' });
  expect(balanced.counts.train).toEqual([20, 10, 5]);
  expect(balanced.training.loss / 0.7980111756282486).toBeCloseTo(1, 6);
  const both = await trainHead({ ...data, sampleWeights, l2: 0.05, classWeights: 'balanced' });
  expect(both.training.loss / 0.8697247670767144).toBeCloseTo(1, 6);
});

test('a whole weight is so many copies of the row', async () => {
  const whiten = false;
  const weighted = await trainHead({
    ...DATA,
    whiten,
    sampleWeights: DATA.labels.map((_, i) => (i < 20 ? 3 : 1)),
  });
  const copied = await trainHead({
    ...DATA,
    whiten,
    embeddings: Float32Array.of(
      ...DATA.embeddings,
      ...DATA.embeddings.subarray(0, 80),
      ...DATA.embeddings.subarray(0, 80),
    ),
    labels: [...DATA.labels, ...DATA.labels.slice(0, 20), ...DATA.labels.slice(0, 20)],
  });
  expectClose(weighted.weights.to1DArray(), copied.weights.to1DArray(), 1e-4);
  const byClass = await trainHead({ ...DATA, classWeights: { bee: 2 } });
  const byRow = await trainHead({
    ...DATA,
    sampleWeights: DATA.labels.map((label) => (label === 'bee' ? 2 : 1)),
  });
  expect(byClass.weights).toEqual(byRow.weights);
});

test('a class may have the name of what every object has', async () => {
  const labels = DATA.labels.map((label) => (label === 'bee' ? 'constructor' : label));
  const weighted = await trainHead({ ...DATA, labels, classWeights: { ant: 2 } });
  const plain = await trainHead({ ...DATA, classWeights: { ant: 2 } });
  expect(weighted.training.loss).toBe(plain.training.loss);
});

test('the head knows what it was made of', async () => {
  const head = await trainHead(DATA);
  expect(head).toMatchObject({ ...IDS, labels: ['ant', 'bee', 'wasp'], l2: DEFAULT_L2, metrics: null });
  expect(head.counts).toEqual({ train: [20, 20, 20], validation: [0, 0, 0] });
  expect(Math.abs(Date.now() - Date.parse(head.created))).toBeLessThan(60_000);
});

test('classes come in code unit order, whatever the order of the rows or the locale', async () => {
  const order = ['é', 'b', 'Z', 'a'];
  const labels = DATA.labels.map((_, i) => order[i % 4] ?? '');
  expect((await trainHead({ ...DATA, labels })).labels).toEqual(['Z', 'a', 'b', 'é']);
});

test('two runs give the same bits', async () => {
  const [first, second] = [await trainHead(DATA), await trainHead(DATA)];
  expect(second.weights.to2DArray()).toEqual(first.weights.to2DArray());
  expect(second.bias).toEqual(first.bias);
  expect(second.training).toEqual(first.training);
});

test('a constant feature gets no weight', async () => {
  const embeddings = Float32Array.from({ length: 60 * 5 }, (_, i) =>
    i % 5 === 4 ? 3 : (DATA.embeddings[Math.floor(i / 5) * 4 + (i % 5)] ?? 0),
  );
  const head = await trainHead({ ...DATA, embeddings, width: 5 });
  expect(head.weights.getColumn(4)).toEqual([0, 0, 0]);
  expect(head.training.converged).toBe(true);
});

test('more rows than one block has are all learnt from', async () => {
  const copies = 20;
  const embeddings = new Float32Array(copies * DATA.embeddings.length);
  for (let i = 0; i < copies; i++) embeddings.set(DATA.embeddings, i * DATA.embeddings.length);
  const labels = Array.from({ length: copies }, () => DATA.labels).flat();
  const [many, once] = [await trainHead({ ...DATA, embeddings, labels }), await trainHead(DATA)];
  expect(many.counts.train).toEqual([400, 400, 400]);
  expect(many.training.loss).toBeCloseTo(once.training.loss, 6);
  expectClose(many.weights.to1DArray(), once.weights.to1DArray(), 1e-4);
});

test('separable classes without a penalty have no finite optimum, and that is said', async () => {
  await expect(trainHead({ ...IDS, ...separable(), l2: 0 })).rejects.toThrow(
    /^There is no finite optimum: .* with l2 = 0 .* above 0, such as 0\.001\.$/,
  );
  for (const finite of [{ l2: 1e-6 }, { l2: 0, labelSmoothing: 0.1 }]) {
    const head = await trainHead({ ...IDS, ...separable(), ...finite });
    expect(head.predict(separable().embeddings).map(([best]) => best?.label)).toEqual(separable().labels);
  }
  expect((await trainHead({ ...DATA, l2: 0 })).training.converged).toBe(true);
});

test('running out of iterations is no convergence', async () => {
  const { training } = await trainHead({ ...DATA, maxIterations: 2 });
  expect(training).toMatchObject({ iterations: 2, converged: false, reason: 'max-iterations' });
  expect(training.gradientNorm).toBeGreaterThan(training.tolerance);
});

test('a tolerance beyond float32 ends and is not claimed', async () => {
  const { training } = await trainHead({ ...DATA, whiten: false, tolerance: 1e-14 });
  expect(training.converged).toBe(false);
  expect(training.gradientNorm).toBeGreaterThan(1e-14);
  expect(training.gradientNorm).toBeLessThan(1e-4);
});

test('progress is reported and a signal stops the training', async () => {
  const controller = new AbortController();
  const seen: number[] = [];
  const training = trainHead({
    ...DATA,
    signal: controller.signal,
    onIteration: ({ iteration }) => {
      seen.push(iteration);
      if (iteration === 3) controller.abort();
    },
  });
  await expect(training).rejects.toMatchObject({ name: 'AbortError' });
  expect(seen).toEqual([1, 2, 3]);
});

const CHANGED: [string, typeof LastlayerError, Partial<TrainHeadOptions>][] = [
  [
    'There are no embeddings to train on. Embed a data set first.',
    LastlayerError,
    { embeddings: new Float32Array(0), labels: [] },
  ],
  [
    'None of the rows has a label. Put each picture in a folder named after its class, or give labels in a manifest.',
    LastlayerError,
    { labels: DATA.labels.map(() => '') },
  ],
  [
    'None of the rows has a label. Put each picture in a folder named after its class, or give labels in a manifest.',
    LastlayerError,
    { labels: [] },
  ],
  [
    '2 of 60 rows have no label, the first of them row 3. Label them or leave them out of training.',
    LastlayerError,
    { labels: DATA.labels.with(3, '').with(7, '') },
  ],
  [
    'All 60 rows are of one class, "ant", so there is nothing to learn. Add pictures of at least one other class.',
    LastlayerError,
    { labels: DATA.labels.map(() => 'ant') },
  ],
  [
    'The class "moth" has only one training example: too few to train on. Add at least one more picture of it, or ' +
      'leave the class out.',
    LastlayerError,
    { labels: DATA.labels.with(5, 'moth') },
  ],
  [
    'The classes "gnat", "moth" have only one training example each: too few to train on. Add at least one more ' +
      'picture of each, or leave the classes out.',
    LastlayerError,
    { labels: DATA.labels.with(5, 'moth').with(6, 'gnat') },
  ],
  [
    'The embedding in row 2 holds NaN. Embed that picture again, or leave it out.',
    LastlayerError,
    { embeddings: DATA.embeddings.with(9, NaN) },
  ],
  [
    'The embedding in row 59 holds -Infinity. Embed that picture again, or leave it out.',
    LastlayerError,
    { embeddings: DATA.embeddings.with(239, -Infinity) },
  ],
  ['There are 60 embeddings but 59 labels. Pass one label a row.', LastlayerError, { labels: DATA.labels.slice(1) }],
  [
    '240 numbers do not make whole embeddings of 7 each. Pass the rows one after another.',
    LastlayerError,
    { width: 7 },
  ],
  ['width is 0. It must be a whole number of at least 1.', LastlayerError, { width: 0 }],
  [
    'There are 60 embeddings but 2 sample weights. Pass one weight a row, or none.',
    LastlayerError,
    { sampleWeights: [1, 2] },
  ],
  [
    'The weight of row 1 is 0. It must be a number above 0. Leave out rows that are not to count.',
    LastlayerError,
    { sampleWeights: DATA.labels.map((_, i) => (i === 1 ? 0 : 1)) },
  ],
  [
    'There is a weight for the class "moth", which is not among the training examples. The classes are ant, bee, wasp.',
    UsageError,
    { classWeights: { moth: 2 } },
  ],
  ['The weight of the class "bee" is -1. It must be a number above 0.', UsageError, { classWeights: { bee: -1 } }],
  [
    'labelSmoothing is 1. It must be a number of at least 0 and below 1, such as 0.1.',
    UsageError,
    { labelSmoothing: 1 },
  ],
  ['l2 is -1. It must be a number of at least 0, such as 0.1.', UsageError, { l2: -1 }],
  ['l2 is NaN. It must be a number of at least 0, such as 0.1.', UsageError, { l2: NaN }],
  ['tolerance is -1. It must be a number of at least 0, such as 0.000001.', UsageError, { tolerance: -1 }],
  ['maxIterations is 0. It must be a whole number of at least 1.', UsageError, { maxIterations: 0 }],
  [
    'The embeddings are too large to train on: their products exceed the range of float32. Leave `whiten` on.',
    LastlayerError,
    { embeddings: DATA.embeddings.map((_, i) => (i % 12 < 4 ? 3e38 : 0)), whiten: false },
  ],
];

test.each(CHANGED)('says: %s', async (message, type, change) => {
  const training = trainHead({ ...DATA, ...change });
  await expect(training).rejects.toThrow(new Error(message));
  await expect(training).rejects.toBeInstanceOf(type);
});
