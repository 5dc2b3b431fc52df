import { chooseL2, nextL2, toPathPoint, type L2Rule, type PathPoint } from '../../src/head/choose-l2.js';

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

test('the search goes by powers of ten to where log loss rises on both sides, then by half a power to the better side', () => {
  expect(search((exponent) => (exponent + 3.1) ** 2)).toEqual([0.01, 0.001, 0.0001, 0.000316]);
  expect(search((exponent) => (exponent + 2.9) ** 2)).toEqual([0.01, 0.001, 0.0001, 0.00316]);
  expect(search((exponent) => (exponent - 1) ** 2)).toEqual([0.01, 0.001, 0.1, 1, 10, 100, 31.6]);
  // The best is a half power.
  expect(search((exponent) => (exponent + 3.4) ** 2)).toEqual([0.01, 0.001, 0.0001, 0.000316]);
});

test('it ends where it would go on for ever', () => {
  expect(Math.min(...search((exponent) => exponent))).toBe(1e-5);
  expect(Math.max(...search((exponent) => -exponent))).toBe(1e4);
  // Falling by next to nothing is no progress; a larger λ that is as good is better.
  expect(search((exponent) => 0.3 + exponent * 1e-5)).toContain(1e4);
});

test('a λ that was given up counts as worse', () => {
  expect(search((exponent) => (exponent < -1.1 ? Infinity : (exponent + 1) ** 2))).toEqual([
    0.01, 0.001, 0.1, 1, 0.316,
  ]);
});

test('with one-se, half powers are tried around its choice, too', () => {
  const tried = search((exponent) => 0.02 * (exponent + 3) ** 2, 'one-se');
  expect(tried.slice(0, 4)).toEqual([0.01, 0.001, 0.0001, 0.00316]);
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
