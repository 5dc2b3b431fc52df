import { Matrix } from 'ml-matrix';
import { Head, type HeadFields } from '../../src/head/head.js';
import { IDS } from './data.js';

const FIELDS: HeadFields = {
  ...IDS,
  weights: new Matrix([
    [1, 0],
    [0, 1],
    [-1, 2],
  ]),
  bias: Float32Array.of(0, 0.5, -0.5),
  labels: ['ant', 'bee', 'fly'],
  l2: 0.1,
  counts: { train: [2, 3, 4], validation: [1, 1, 1] },
  training: {
    iterations: 5,
    converged: true,
    reason: 'gradient',
    loss: 0.2,
    gradientNorm: 1e-7,
    tolerance: 1e-6,
    whiten: true,
    labelSmoothing: 0,
  },
  metrics: null,
  created: '2026-01-01T00:00:00.000Z',
};
const head = new Head(FIELDS);

test('logits are W x + b, one row an embedding', () => {
  expect(head.width).toBe(2);
  expect(head.logits(Float32Array.of(1, 2, -1, 0)).to2DArray()).toEqual([
    [1, 2.5, 2.5],
    [-1, 0.5, 0.5],
  ]);
  expect(head.logits(new Float32Array(0)).rows).toBe(0);
});

test('probabilities are the softmax and every row sums to 1, also where logits are huge', () => {
  const [small, large] = head.predictProba(Float32Array.of(0, 0, 1e5, -1e5)).to2DArray();
  const sum = 1 + Math.exp(0.5) + Math.exp(-0.5);
  expect(small?.[1]).toBeCloseTo(Math.exp(0.5) / sum, 14);
  expect(small?.reduce((a, b) => a + b)).toBeCloseTo(1, 14);
  expect(large).toEqual([1, 0, 0]);
});

test('predict gives the most probable classes, best first, and of equals the first', () => {
  const [best] = head.predict(Float32Array.of(1, 2), 2);
  expect(best?.map(({ label }) => label)).toEqual(['bee', 'fly']);
  expect(best?.[0]?.probability).toBe(best?.[1]?.probability);
  expect(head.predict(Float32Array.of(5, 0, 0, 5), 1).map((row) => row.map(({ label }) => label))).toEqual([
    ['ant'],
    ['fly'],
  ]);
  expect(head.predict(Float32Array.of(1, 2), 9)[0]).toHaveLength(3);
});

test('the temperature flattens probabilities and leaves the order as it is', () => {
  const warm = head.with({ temperature: 2 });
  const [p, q] = [head, warm].map((each) => each.predictProba(Float32Array.of(1, 3)).getRow(0));
  const sum = Math.exp(0.5) + Math.exp(1.75) + Math.exp(2.25);
  expect(q?.[2]).toBeCloseTo(Math.exp(2.25) / sum, 14);
  expect(q?.[2]).toBeLessThan(p?.[2] ?? 0);
  expect(warm.logits(Float32Array.of(1, 3))).toEqual(head.logits(Float32Array.of(1, 3)));
});

test('typicality ranks the cosine to the nearest class mean + 0.1 ln p, however long the embedding is', () => {
  const means = new Matrix([
    [1, 0],
    [0.6, 0.8],
    [0, 1],
  ]);
  const typical = { count: 5, scores: [-0.8, -0.1, 0.83, 0.85, 0.999] };
  const strict = head.with({ unknown: { means, typical, rate: 0.5 } });
  // Cosines to the nearest mean: 1, 0.9417, −0.71 and, of a row without a direction, 0. Largest probabilities by softmax of
  // (9, 12.5, 14.5), (0.0028, 0.501, −0.5012), (−1, −0.5, −1.5) and (0, 0.5, −0.5): 0.8778, 0.5065, 0.5065, 0.5065.
  const rows = Float32Array.of(9, 12, 0.0028, 0.001, -1, -1, 0, 0);
  // Scores 0.987, 0.874, −0.775 and −0.068.
  expect(strict.typicality(rows)).toEqual([
    { typicality: 0.8, unknown: false },
    { typicality: 0.8, unknown: false },
    { typicality: 0.2, unknown: true },
    { typicality: 0.4, unknown: true },
  ]);
  expect(
    strict
      .withUnknown(0.3)
      .typicality(rows)
      .map(({ unknown }) => unknown),
  ).toEqual([false, false, true, false]);
  expect(head.typicality(rows)).toEqual(Array(4).fill({ typicality: null, unknown: false }));
});

test('indexOf finds a class, or says that there is none', () => {
  expect([head.indexOf('fly'), head.indexOf('moth')]).toEqual([2, undefined]);
});

test('another head is made with what is known later', () => {
  const evaluated = head.with({ metrics: { accuracy: 0.9 } });
  expect(evaluated).toEqual(new Head({ ...FIELDS, metrics: { accuracy: 0.9 } }));
  expect(head.metrics).toBeNull();
  expect(evaluated.logits(Float32Array.of(1, 2))).toEqual(head.logits(Float32Array.of(1, 2)));
});

test.each<[string, () => unknown]>([
  [
    'The head reads embeddings of 2 numbers, but was given 3 numbers, which is not a multiple of that. Use the backbone that ' +
      'it was trained on (resnet18-test@0123456789ab).',
    () => head.logits(new Float32Array(3)),
  ],
  [
    'The embedding in row 1 holds NaN or infinite values. Embed the picture again.',
    () => head.predict(Float32Array.of(0, 0, NaN, 0)),
  ],
  ['topK is 0. It must be a whole number of at least 1.', () => head.predict(Float32Array.of(0, 0), 0)],
  ['topK is 2.5. It must be a whole number of at least 1.', () => head.predict(Float32Array.of(0, 0), 2.5)],
  [
    'The head has 2 labels but 3 rows of weights. There must be as many.',
    () => new Head({ ...FIELDS, labels: ['ant', 'bee'] }),
  ],
  [
    'The head has 3 labels but 2 biases. There must be as many.',
    () => new Head({ ...FIELDS, bias: Float32Array.of(0, 0) }),
  ],
  [
    'The head has 3 labels but 1 training counts. There must be as many.',
    () => new Head({ ...FIELDS, counts: { train: [1], validation: [0, 0, 0] } }),
  ],
  ['The head names one label twice.', () => new Head({ ...FIELDS, labels: ['ant', 'bee', 'ant'] })],
  ["The head's temperature is 0. It must be a number above 0.", () => new Head({ ...FIELDS, temperature: 0 })],
  [
    'The rate of unknown pictures is 95. It must be a number above 0 and below 1, such as 0.05.',
    () => new Head({ ...FIELDS, unknown: { means: FIELDS.weights, typical: { count: 1, scores: [0] }, rate: 95 } }),
  ],
  [
    "The head's typical scores are not 3 ascending numbers.",
    () =>
      new Head({ ...FIELDS, unknown: { means: FIELDS.weights, typical: { count: 3, scores: [2, 1, 3] }, rate: 0.1 } }),
  ],
  [
    "The head's class means are [1, 2]. They must have the shape of its weights, [3, 2].",
    () =>
      new Head({ ...FIELDS, unknown: { means: new Matrix([[1, 0]]), typical: { count: 1, scores: [0] }, rate: 0.1 } }),
  ],
  [
    'The head holds weights that are NaN or infinite.',
    () => new Head({ ...FIELDS, bias: Float32Array.of(0, Infinity, 0) }),
  ],
])('says: %s', (message, act) => {
  expect(act).toThrow(new Error(message));
});
