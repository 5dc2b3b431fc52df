import { Evaluation, signTest } from '../../src/head/metrics.js';

const LABELS = ['ant', 'bee', 'fly', 'wasp'];
const TRUE = [0, 0, 0, 1, 1, 2, 2, 2, 3, 3];
const PROBABILITIES = [
  [0.7, 0.1, 0.1, 0.1],
  [0.4, 0.3, 0.2, 0.1],
  [0.2, 0.5, 0.2, 0.1],
  [0.1, 0.8, 0.05, 0.05],
  [0.3, 0.25, 0.25, 0.2],
  [0.1, 0.2, 0.6, 0.1],
  [0.25, 0.15, 0.55, 0.05],
  [0.6, 0.3, 0.1, 0],
  [0.5, 0.3, 0.2, 0],
  [0.1, 0.2, 0.4, 0.3],
];

function evaluate(topK: number): Evaluation {
  const evaluation = new Evaluation(LABELS, { topK });
  TRUE.forEach((y, i) => {
    evaluation.add(y, PROBABILITIES[i] ?? []);
  });
  return evaluation;
}

// Expected: scikit-learn 1.9, accuracy_score, log_loss, confusion_matrix, precision_recall_fscore_support and f1_score.
test('the figures are those of scikit-learn', () => {
  const { count, accuracy, logLoss, confusion, perClass, macroF1 } = evaluate(2).result();
  expect({ count, accuracy }).toEqual({ count: 10, accuracy: 0.5 });
  expect(logLoss).toBeCloseTo(4.515071541163984, 12);
  expect(macroF1).toBeCloseTo(0.41666666666666663, 12);
  expect(confusion.to2DArray()).toEqual([
    [2, 1, 0, 0],
    [1, 1, 0, 0],
    [1, 0, 2, 0],
    [1, 0, 1, 0],
  ]);
  expect(perClass).toEqual([
    { label: 'ant', precision: 2 / 5, recall: 2 / 3, f1: 1 / 2, support: 3 },
    { label: 'bee', precision: 1 / 2, recall: 1 / 2, f1: 1 / 2, support: 2 },
    { label: 'fly', precision: 2 / 3, recall: 2 / 3, f1: 2 / 3, support: 3 },
    { label: 'wasp', precision: null, recall: 0, f1: 0, support: 2 },
  ]);
});

test('top-k accuracy counts the true classes among the k most probable, equals in the order of the classes', () => {
  // Row 4's true class shares the second place and comes first of the two; row 2's comes third in its tie for second.
  expect(evaluate(1).result().topK).toEqual({ k: 1, accuracy: 0.5 });
  expect(evaluate(2).result().topK).toEqual({ k: 2, accuracy: 0.8 });
  expect(evaluate(9).result().topK).toEqual({ k: 4, accuracy: 1 });
});

test('equal probabilities predict the first class', () => {
  const evaluation = new Evaluation(['ant', 'bee'], { topK: 1 });
  evaluation.add(1, [0.5, 0.5]);
  const { confusion, topK, accuracy } = evaluation.result();
  expect(confusion.to2DArray()).toEqual([
    [0, 0],
    [1, 0],
  ]);
  expect([topK.accuracy, accuracy]).toEqual([0, 0]);
});

// Expected: scikit-learn 1.9's balanced_accuracy_score and SciPy's binomtest(…).proportion_ci(method='wilson').
test('a rare class counts as much as a frequent one in the balanced accuracy', () => {
  expect(evaluate(2).result().balancedAccuracy).toBeCloseTo(0.45833333333333326, 14);
});

test('accuracy has its 95 % interval, which is none of width 0 where all are right', () => {
  const [low, high] = evaluate(2).result().accuracyInterval ?? [];
  expect(low).toBeCloseTo(0.236593, 6);
  expect(high).toBeCloseTo(0.763407, 6);
  const faultless = new Evaluation(['ant', 'bee']);
  for (let i = 0; i < 10; i++) faultless.add(0, [0.9, 0.1]);
  expect(faultless.result().accuracyInterval?.[0]).toBeCloseTo(0.722467, 6);
  expect(faultless.result().accuracyInterval?.[1]).toBeCloseTo(1, 12);
});

test('the calibration error compares how sure the answers are with how often they are right', () => {
  const evaluation = new Evaluation(['ant', 'bee']);
  // Ten answers of 0.9, seven of them right; ten of 0.6, six of them right.
  for (let i = 0; i < 10; i++) evaluation.add(i < 7 ? 0 : 1, [0.9, 0.1]);
  for (let i = 0; i < 10; i++) evaluation.add(i < 6 ? 1 : 0, [0.4, 0.6]);
  const { ece, bins } = evaluation.result().calibration;
  expect(ece).toBeCloseTo((10 * 0.2 + 10 * 0) / 20, 14);
  expect(bins).toHaveLength(15);
  expect(bins.filter(({ count }) => count > 0).map(({ count, accuracy }) => [count, accuracy])).toEqual([
    [10, 0.6],
    [10, 0.7],
  ]);
  expect(bins[0]).toEqual({ from: 0, to: 1 / 15, count: 0, confidence: null, accuracy: null });
});

test('what cannot be computed is null, not NaN', () => {
  const empty = new Evaluation(['ant', 'bee']).result();
  expect(empty).toMatchObject({ count: 0, accuracy: null, logLoss: null, macroF1: null });
  expect(empty).toMatchObject({ accuracyInterval: null, balancedAccuracy: null, calibration: { ece: null } });
  expect(empty.topK).toEqual({ k: 2, accuracy: null });

  const evaluation = new Evaluation(['ant', 'bee', 'fly']);
  evaluation.add(0, [0.6, 0.4, 0]);
  const { perClass, macroF1 } = evaluation.result();
  expect(perClass[1]).toEqual({ label: 'bee', precision: null, recall: null, f1: null, support: 0 });
  expect(macroF1).toBe(1);
});

test('a class that is predicted but never true has a precision of 0 and no recall', () => {
  const evaluation = new Evaluation(['ant', 'bee']);
  evaluation.add(0, [0.1, 0.9]);
  expect(evaluation.result().perClass[1]).toMatchObject({ precision: 0, recall: null, f1: 0 });
});

test('labels that the head does not know are counted apart', () => {
  const evaluation = evaluate(2);
  const before = evaluation.result();
  for (const label of ['moth', 'moth', 'gnat']) evaluation.addUnknown(label);
  const { unknown, ...after } = evaluation.result();
  expect(unknown).toEqual([
    { label: 'moth', count: 2 },
    { label: 'gnat', count: 1 },
  ]);
  expect({ ...after, unknown: [] }).toEqual(before);
});

test('refuses what makes no sense', () => {
  expect(() => new Evaluation(LABELS, { topK: 0 })).toThrow('topK is 0. It must be a whole number of at least 1.');
  expect(() => new Evaluation(LABELS, { topK: 1.5 })).toThrow('topK is 1.5');
  const evaluation = new Evaluation(LABELS);
  expect(() => {
    evaluation.add(4, [0.25, 0.25, 0.25, 0.25]);
  }).toThrow(RangeError);
  expect(() => {
    evaluation.add(0, [0.5, 0.5]);
  }).toThrow(RangeError);
});

test.each([
  [8, 2, 0.0546875],
  [3, 2, 0.5],
  [60, 40, 0.028443966820490385],
  [0, 5, 1],
  [0, 0, 1],
])('%d wins and %d losses have the p-value of the sign test', (wins, losses, expected) => {
  expect(signTest(wins, losses)).toBeCloseTo(expected, 12);
});
