import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { baselines } from '../../src/head/baselines.js';
import { featuresInMemory } from '../../src/head/examples.js';
import { loadHead, saveHead } from '../../src/head/file.js';
import { MultilabelEvaluation } from '../../src/head/metrics.js';
import { HeadGraph } from '../../src/head/objective.js';
import { multilabelTask } from '../../src/head/task.js';
import { trainHead, tuneHead, type TrainHeadOptions } from '../../src/head/train.js';
import { LastlayerError, UsageError } from '../../src/util/errors.js';
import { temporaryFolder } from '../support/files.js';
import { IDS, separable, uniform } from './data.js';
import { labelled } from './multilabel-data.js';

const DATA = { ...IDS, ...labelled(), l2: 0.05 };
const ROWS = 60;
const folder = await temporaryFolder();

function examplesOf(labels: readonly string[][], embeddings: Float32Array, width: number) {
  const targets = multilabelTask.encode(labels, () => true);
  return { task: multilabelTask, ...targets, source: featuresInMemory(embeddings, width) };
}

function expectClose(found: readonly number[], expected: readonly number[]): void {
  const largest = Math.max(...expected.map(Math.abs));
  found.forEach((value, i) => {
    expect(Math.abs(value - (expected[i] ?? NaN))).toBeLessThan(1e-4 * largest);
  });
}

// Expected: scikit-learn 1.9, OneVsRestClassifier(LogisticRegression(C=1 / (60 * 0.05), solver='newton-cholesky',
// tol=1e-12)) on half-whitened features by numpy.linalg.eigh, folded back.
test('the optimum is that of scikit-learn’s one-vs-rest logistic regressions', async () => {
  const head = await trainHead(DATA);
  expect(head).toMatchObject({
    kind: 'multilabel',
    labels: ['ant', 'bee', 'wasp'],
    thresholds: [0.5, 0.5, 0.5],
  });
  expect(head.counts.train).toEqual([26, 20, 15]);
  expect(head.training.converged).toBe(true);
  expect(head.training.loss / 1.6443415088302364).toBeCloseTo(1, 6);
  const expected = [
    [11.1034425, -0.6798357, -0.0189335, 0.0008963],
    [-9.0703784, 1.1495413, -0.058441, 0.0029365],
    [-5.6798411, 0.0205283, -0.0580874, -0.0059997],
  ];
  for (let j = 0; j < 4; j++) {
    expectClose(
      head.weights.getColumn(j),
      expected.map((row) => row[j] ?? NaN),
    );
  }
  expectClose([...head.bias], [0.2553229, -1.7086204, -0.838371]);
  const [first = []] = head.predictProba(DATA.embeddings.subarray(0, 4)).to2DArray();
  expectClose(first, [0.49170468527152633, 0.3196901679877482, 0.3948113074819601]);
});

test('weights are scikit-learn’s sample_weight', async () => {
  const sampleWeights = DATA.labels.map((_, i) => 0.5 + (i % 5) / 2);
  const head = await trainHead({ ...DATA, sampleWeights });
  expect(head.training.loss / 1.7028017520586336).toBeCloseTo(1, 6);
  expectClose(head.weights.getColumn(0), [8.4430388, -4.9139722, -4.2889151]);
});

// Expected: scikit-learn's average_precision_score, precision_score, recall_score, f1_score, accuracy_score and hamming_loss; the log loss from its coefficients.
test('the figures are scikit-learn’s', async () => {
  const head = await trainHead(DATA);
  const evaluation = new MultilabelEvaluation(head.labels);
  head
    .predictProba(DATA.embeddings)
    .to2DArray()
    .forEach((row, i) => {
      const truth = (DATA.labels[i] ?? []).flatMap((label) => head.indexOf(label) ?? []);
      evaluation.add(truth, Float64Array.from(row), head.thresholds ?? []);
    });
  const result = evaluation.result();
  expect(result.count).toBe(ROWS);
  expect(result.meanAveragePrecision).toBeCloseTo(0.6347538558143393, 10);
  expect(result.macroF1).toBeCloseTo(0.41125869702719803, 10);
  expect(result.microF1).toBeCloseTo(0.4897959183673469, 10);
  expect(result.subsetAccuracy).toBeCloseTo(0.4, 10);
  expect(result.hammingLoss).toBeCloseTo(0.2777777777777778, 10);
  expect(result.logLoss).toBeCloseTo(1.593394647408489, 5);
  expect(result.perLabel.map(({ averagePrecision }) => averagePrecision)).toEqual(
    [0.7665112209775203, 0.6551699409615556, 0.4825804055039421].map((value) => expect.closeTo(value, 10) as number),
  );
  expect(result.perLabel[1]).toMatchObject({
    ...{ label: 'bee', support: 20, recall: 0.4 },
    precision: expect.closeTo(8 / 11, 10) as number,
    f1: expect.closeTo(0.5161290322580645, 10) as number,
  });
});

describe('cross-validation', () => {
  /** Two labels, on a tenth and a third of 150 rows, each with a feature of its own. */
  function rare() {
    const random = uniform(31);
    const labels = Array.from({ length: 150 }, (_, i) => [
      ...(i % 10 === 0 ? ['rare'] : []),
      ...(i % 3 === 0 ? ['often'] : []),
    ]);
    const embeddings = Float32Array.from({ length: 150 * 5 }, (_, k) => {
      const [set, j] = [labels[Math.floor(k / 5)] ?? [], k % 5];
      return 3 * random() + (set.includes(j === 0 ? 'rare' : j === 1 ? 'often' : '') ? 2 : 0);
    });
    return { labels, embeddings };
  }

  it('chooses λ, and thresholds low enough to find a rare label, and judges every row', async () => {
    const { labels, embeddings } = rare();
    const graph = await HeadGraph.create(multilabelTask);
    const { head, crossValidation } = await tuneHead(multilabelTask, graph, examplesOf(labels, embeddings, 5), {
      ...IDS,
      mask: () => true,
      groups: labels.map((_, i) => `picture ${i}`),
    });
    await graph.release();
    expect(crossValidation).toMatchObject({
      folds: 5,
      rule: 'best',
      neverHeld: 0,
      evaluation: { count: 150 },
    });
    expect(head.l2).toBe(crossValidation?.chosen.l2);
    expect(head.temperature).toBe(crossValidation?.temperature);
    const { uncalibrated, evaluation } = crossValidation ?? {};
    expect(evaluation?.logLoss).toBeLessThanOrEqual((uncalibrated?.logLoss ?? NaN) + 1e-3);
    const [often = 1, seldom = 1] = head.thresholds ?? [];
    expect(seldom).toBeLessThan(0.5);
    expect(often).not.toBe(0.5);
    // With ½ the rare label would hardly be given to any row.
    const [, given] = crossValidation?.evaluation.perLabel ?? [];
    expect(given?.recall).toBeGreaterThan(0.5);
    expect(crossValidation?.evaluation.meanAveragePrecision).toBeGreaterThan(0.6);
  });
});

test('neighbours and chance are judged as scikit-learn would, on rows that they do not know', async () => {
  const { labels, embeddings, width } = DATA;
  const graph = await HeadGraph.create(multilabelTask);
  const folds = [{ train: (row: number) => row % 5 !== 0, validation: (row: number) => row % 5 === 0 }];
  const result = multilabelTask.evaluator([]).result();
  const head = { result, counts: [] };
  const found = await baselines(multilabelTask, graph, examplesOf(labels, embeddings, width), folds, head);
  await graph.release();
  // Made with scikit-learn 1.9: NearestNeighbors(10, metric='cosine'), labels weighted by the cosine, and the mean of
  // average_precision_score over labels.
  expect(found).toMatchObject({ k: 10, count: 12 });
  expect(found.nearestNeighbours).toBeCloseTo(0.3927038239538239, 6);
  expect(found.chance).toBeCloseTo(1 / 3, 12);
});

describe('a file', () => {
  it('brings kind and thresholds back', async () => {
    const path = join(folder, 'head.safetensors');
    const head = (await trainHead(DATA)).with({ thresholds: [0.25, 0.5, 1] });
    await saveHead(path, head);
    expect(await loadHead(path)).toEqual(head);
  });

  it('of a kind that is not known is refused', async () => {
    const path = join(folder, 'other.safetensors');
    await saveHead(path, await trainHead(DATA));
    const bytes = (await readFile(path)).toString('latin1');
    await writeFile(path, Buffer.from(bytes.replace('"kind":"multilabel"', '"kind":"multilabol"'), 'latin1'));
    await expect(loadHead(path)).rejects.toThrow(/is damaged: its metadata hold no valid kind/);
  });
});

test('labels are given from their threshold on, none or several', async () => {
  const head = await trainHead(DATA);
  const picture = DATA.embeddings.subarray(0, 4);
  const given = (...thresholds: number[]) => head.with({ thresholds }).labelsOf(picture)[0];
  expect(given(0.49, 0.4, 0.39)).toEqual(['ant', 'wasp']);
  expect(given(0.5, 0.5, 0.5)).toEqual([]);
  expect(head.predict(picture, 2)[0]?.map(({ label }) => label)).toEqual(['ant', 'wasp']);
  expect(() => given(0.5)).toThrow('The head has 3 labels but 1 thresholds. There must be as many.');
  expect(() => given(0.5, 0.5, 2)).toThrow('The threshold of "wasp" is 2. It must be a number from 0 to 1.');
  expect(() => head.with({ kind: 'softmax' })).toThrow(/only multilabel heads have them/);
});

const sparse = (few: number): string[][] => DATA.labels.map((_, i) => (i < few ? ['moth'] : []));

const REFUSED: [string, typeof LastlayerError, Partial<TrainHeadOptions>][] = [
  ['The label "moth" is on 1 of 60 training rows: too few positives.', LastlayerError, { labels: sparse(1) }],
  ['The label "moth" is on 60 of 60 training rows: too few negatives.', LastlayerError, { labels: sparse(60) }],
  ['None of the 60 training rows has a label,', LastlayerError, { labels: sparse(0) }],
  ['There are 60 embeddings but 1 labels.', LastlayerError, { labels: [[]] }],
  [
    'There is no finite optimum: the training examples separate a label',
    LastlayerError,
    {
      ...{ embeddings: separable().embeddings, width: 2, l2: 0 },
      labels: separable().labels.map((label) => (label === 'left' ? [label] : [])),
    },
  ],
  ['labelSmoothing is 1.', UsageError, { labelSmoothing: 1 }],
];

test.each(REFUSED)('says: %s', async (message, type, change) => {
  const training = trainHead({ ...DATA, ...change });
  await expect(training).rejects.toThrow(message);
  await expect(training).rejects.toBeInstanceOf(type);
});
