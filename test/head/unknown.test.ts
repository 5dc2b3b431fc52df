import { type TypicalScores, typicalityOf, typicalScore, unknownRule } from '../../src/head/unknown.js';
import { uniform } from './data.js';

test('the score is the cosine, less a tenth of the surprise that the probability leaves', () => {
  expect(typicalScore(0.9, 1)).toBe(0.9);
  expect(typicalScore(0.9, 0.5)).toBeCloseTo(0.9 - 0.069315, 6);
});

test('typicality is the share of right predictions that are less typical, and those below the rate are unknown', () => {
  // Right: 0.01, 0.02 … 1.
  const right = Array.from({ length: 100 }, (_, i) => (i + 1) / 100);
  const wrong = [0.005, 0.03, 0.05, 0.0501, 0.5, 2];
  const isRight = [...wrong, ...right].map((_, i) => i >= wrong.length);
  const rule = unknownRule([...wrong, ...right], isRight, 0.05);
  expect(rule).toMatchObject({ rate: 0.05, flaggedRight: 0.05, flaggedWrong: 0.5 });
  const typical = rule?.typical ?? { count: 0, scores: [] };
  expect(typical).toEqual({ count: 100, scores: right });
  expect([0, 0.01, 0.015, 0.05, 0.0501, 0.995, 1, 7].map((score) => typicalityOf(score, typical))).toEqual([
    0, 0, 0.01, 0.04, 0.05, 0.99, 0.99, 1,
  ]);

  for (const [rate, share] of [
    [0.2, 0.2],
    [0.01, 0.01],
    ['off', 0],
  ] as const) {
    expect(unknownRule(right, isRight.slice(wrong.length), rate)).toMatchObject({
      flaggedRight: share,
      flaggedWrong: null,
    });
  }
  expect(unknownRule(wrong, isRight.slice(0, wrong.length), 0.05)).toBeNull();
});

test.each([202, 1000, 20_000])('of %i scores few are kept, but the lowest all, and none is far off', (count) => {
  const random = uniform(count);
  const scores = Array.from({ length: count }, () => Math.log(random()));
  const rule = unknownRule(scores, Array<boolean>(count).fill(true), 0.05);
  const typical = rule?.typical as TypicalScores;
  expect(typical.scores).toHaveLength(201);
  expect(Math.abs((rule?.flaggedRight ?? NaN) - 0.05)).toBeLessThan(0.001 + 1 / count);

  const sorted = scores.toSorted((a, b) => a - b);
  const errorOf = (score: number) =>
    Math.abs(typicalityOf(score, typical) - sorted.filter((other) => other < score).length / count);
  // Halfway between neighbours, and on one of the scores.
  const low = sorted.slice(0, 2).flatMap((score, i) => [score, (score + (sorted[i + 1] ?? NaN)) / 2]);
  expect(Math.max(...low.map(errorOf))).toBe(0);
  const all = Array.from({ length: 200 }, (_, i) => sorted[Math.floor((i * count) / 200)] ?? NaN);
  expect(Math.max(...all.map(errorOf))).toBeLessThan(0.01);
  expect(Math.max(...all.slice(0, 20).map(errorOf))).toBeLessThan(0.003);
});

test('equal scores count as one step', () => {
  const scores = Array.from({ length: 400 }, (_, i) => (i < 100 ? 0 : i < 300 ? 0.5 : 1));
  const typical = unknownRule(scores, Array<boolean>(400).fill(true), 0.05)?.typical as TypicalScores;
  [-1, 0, 0.5, 1, 2].forEach((score, i) => {
    expect(Math.abs(typicalityOf(score, typical) - ([0, 0, 0.25, 0.75, 1][i] ?? NaN))).toBeLessThan(0.01);
  });
});
