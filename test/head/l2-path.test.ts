import {
  chooseL2,
  expectedLeft,
  isPastBest,
  l2Candidates,
  type PathPoint,
  toPathPoint,
} from '../../src/head/cross-validate.js';

function path(...logLosses: number[]): PathPoint[] {
  return logLosses.map((logLoss, i) => ({ l2: 10 ** -i, logLoss, standardError: 0.05, accuracy: 0.9 }));
}

test('the λ to try fall from 10 by half powers of ten', () => {
  expect([...l2Candidates()].slice(0, 5)).toEqual([10, 3.16, 1, 0.316, 0.1]);
});

test('the path ends after three λ that are no better', () => {
  expect(isPastBest(path(0.5, 0.4, 0.3, 0.31, 0.32))).toBe(false);
  expect(isPastBest(path(0.5, 0.4, 0.3, 0.31, 0.32, 0.33))).toBe(true);
  expect(isPastBest(path(0.5, 0.4, 0.41, 0.42, 0.3))).toBe(false);
  // Falling by next to nothing is no progress.
  expect(isPastBest(path(0.3, 0.2999, 0.2998, 0.2997))).toBe(true);
});

test('what is left of the path is known where log loss rises, and is guessed before', () => {
  expect(expectedLeft(path(0.5, 0.4, 0.3, 0.31))).toBe(2);
  expect(expectedLeft(path(0.5, 0.4, 0.3, 0.31, 0.32, 0.33))).toBe(0);
  // While it falls, at least three more come; in the end the path is.
  expect(expectedLeft(path(...Array.from({ length: 12 }, (_, i) => 1 - i / 20)))).toBe(3);
  expect(expectedLeft(path(...Array.from({ length: [...l2Candidates()].length }, (_, i) => 1 - i / 20)))).toBe(0);
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
