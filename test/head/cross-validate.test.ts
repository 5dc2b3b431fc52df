import {
  chooseL2,
  crossValidate,
  nextL2,
  type L2Rule,
  type PathPoint,
  toPathPoint,
} from '../../src/head/cross-validate.js';
import { featuresInMemory } from '../../src/head/examples.js';
import { HeadGraph } from '../../src/head/objective.js';
import { stratifiedFolds } from '../../src/head/split.js';
import { multilabelTask, softmaxTask, taskOf } from '../../src/head/task.js';
import { uniform } from './data.js';

function path(...logLosses: number[]): PathPoint[] {
  return logLosses.map((logLoss, i) => ({ l2: 10 ** -i, logLoss, standardError: 0.05, accuracy: 0.9 }));
}

/** The λ that are tried where this is the log loss of each. */
function search(logLossOf: (exponent: number) => number, rule: L2Rule = 'best'): number[] {
  const tried: PathPoint[] = [];
  for (let l2 = nextL2(tried, rule); l2 !== undefined; l2 = nextL2(tried, rule)) {
    tried.push({ l2, logLoss: logLossOf(Math.log10(l2)), standardError: 0.05, accuracy: 0.9 });
  }
  return tried.map(({ l2 }) => l2);
}

test('the search goes by powers of ten to where log loss rises on both sides, then by half powers around the best', () => {
  expect(search((exponent) => (exponent + 3) ** 2)).toEqual([0.1, 0.01, 0.001, 0.0001, 0.000316, 0.00316]);
  expect(search((exponent) => (exponent - 1) ** 2)).toEqual([0.1, 0.01, 1, 10, 100, 3.16, 31.6]);
});

test('it ends where it would go on for ever', () => {
  expect(Math.min(...search((exponent) => exponent))).toBe(1e-5);
  expect(Math.max(...search((exponent) => -exponent))).toBe(1e4);
  // Falling by next to nothing is no progress; a larger λ that is as good is better.
  expect(search((exponent) => 0.3 + exponent * 1e-5)).toContain(1e4);
});

test('a λ that was given up counts as worse', () => {
  expect(search((exponent) => (exponent < -1.1 ? Infinity : (exponent + 1) ** 2))).toEqual([
    0.1, 0.01, 1, 0.0316, 0.316,
  ]);
});

test('with one-se, half powers are tried around its choice, too', () => {
  const tried = search((exponent) => 0.02 * (exponent + 3) ** 2, 'one-se');
  expect(tried.slice(0, 6)).toEqual([0.1, 0.01, 0.001, 0.0001, 0.000316, 0.00316]);
  expect(tried).toContain(0.0316);
});

test('the best λ has the least log loss, or is larger and as good', () => {
  expect(chooseL2(path(0.5, 0.4, 0.3, 0.31), 'best')).toBe(2);
  expect(chooseL2(path(0.5, 0.3005, 0.3, 0.31), 'best')).toBe(1);
});

test('one-se takes the largest λ within one standard error', () => {
  expect(chooseL2(path(0.5, 0.349, 0.3, 0.31), 'one-se')).toBe(1);
  expect(chooseL2(path(0.5, 0.351, 0.3, 0.31), 'one-se')).toBe(2);
});

test('folds count by their weight, and their spread gives the standard error', () => {
  const folds = [
    { weight: 2, loss: 1, rows: 4, right: 3 },
    { weight: 1, loss: 0.8, rows: 2, right: 0 },
  ];
  const { l2, logLoss, standardError, accuracy } = toPathPoint(0.1, folds);
  expect([l2, accuracy]).toEqual([0.1, 0.5]);
  expect(logLoss).toBeCloseTo(0.6, 14);
  // Means 0.5 and 0.8: √((2 · 0.1² + 1 · 0.2²) / 3 / 1)
  expect(standardError).toBeCloseTo(Math.sqrt(0.02), 14);
});

/** Classes that overlap, in correlated features as a backbone's are, each row with a second label by chance. */
function madeUp(rows: number, width: number, classes: number) {
  const random = uniform(31);
  const noise = () => random() + random() + random() - 1.5;
  const mixing = Float64Array.from({ length: 6 * width }, noise);
  const centres = Float64Array.from({ length: classes * 6 }, noise);
  const features = new Float32Array(rows * width);
  const labels = Array.from({ length: rows }, (_, i) => [`label ${i % classes}`, ...(random() < 0.2 ? ['other'] : [])]);
  for (let i = 0; i < rows; i++) {
    const hidden = Array.from({ length: 6 }, (_, k) => (centres[(i % classes) * 6 + k] ?? 0) + noise());
    for (let j = 0; j < width; j++) {
      features[i * width + j] = hidden.reduce((sum, z, k) => sum + z * (mixing[k * width + j] ?? 0), 0.3 * noise());
    }
  }
  return { features, labels };
}

test.each([
  ['of few rows', 'softmax', 300],
  ['of many rows, which the first fold is tried on before', 'softmax', 6_000],
  ['of several labels', 'multilabel', 6_000],
] as const)('figures %s are those of the optimum of each λ, and the best λ is chosen', async (_, kind, rows) => {
  const [width, classes] = [32, 8];
  const { features, labels } = madeUp(rows, width, classes);
  const task = taskOf(kind);
  const lists = kind === 'softmax' ? labels.map((list) => list.slice(0, 1)) : labels;
  const mask = () => true;
  const targets = (kind === 'softmax' ? softmaxTask : multilabelTask).encode(lists, mask);
  const examples = { task, source: featuresInMemory(features, width), ...targets };
  const groups = Array.from({ length: rows }, (_row, i) => `picture-${i}`);
  const folds = stratifiedFolds({ strata: task.strata(targets, mask), groups });
  await HeadGraph.with(task, async (graph) => {
    const found = await crossValidate(graph, examples, { mask, ...folds });
    const exact = async (l2: number) =>
      (await crossValidate(graph, examples, { mask, ...folds, l2, tolerance: 1e-6 })).chosen;
    expect(found.path.length).toBeGreaterThan(1);
    for (const { l2, logLoss } of found.path) {
      expect(Math.abs(logLoss - (await exact(l2)).logLoss)).toBeLessThan(1e-3);
    }
    for (const l2 of found.givenUp) {
      expect((await exact(l2)).logLoss).toBeGreaterThan(found.chosen.logLoss + 5e-3);
    }
    expect(found.path.length + found.givenUp.length).toBeGreaterThan(4);
  });
});
