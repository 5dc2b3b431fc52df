import { fitTemperature } from '../../src/head/calibrate.js';
import { multilabelTask, softmaxTask } from '../../src/head/task.js';
import { uniform } from './data.js';

interface LogitBlock {
  /** [rows × count] */
  logits: Float32Array;
  classes: Int32Array;
  weights?: Float32Array;
}

/** The temperature of softmax for some blocks of rows. */
function fit(blocks: readonly LogitBlock[], count: number): number {
  const rows = blocks.flatMap(({ logits, classes, weights }) =>
    Array.from(classes, (c, i) => ({ logits, at: i * count, labels: [c], weight: weights?.[i] ?? 1 })),
  );
  return fitTemperature(softmaxTask, rows, count);
}

/** Logits whose classes are drawn from softmax(z / T): T is what has to be found. */
function drawn(temperature: number, rows: number, count = 4, seed = 17): LogitBlock {
  const random = uniform(seed);
  const logits = Float32Array.from({ length: rows * count }, () => 6 * random() - 3);
  const classes = Int32Array.from({ length: rows }, (_, i) => {
    const p = Array.from(logits.subarray(i * count, (i + 1) * count), (z) => Math.exp(z / temperature));
    let left = random() * p.reduce((a, b) => a + b);
    return Math.max(
      0,
      p.findIndex((value) => (left -= value) < 0),
    );
  });
  return { logits, classes };
}

test('the temperature that the classes were drawn with is found again', () => {
  for (const temperature of [0.5, 1, 3]) {
    expect(fit([drawn(temperature, 5000)], 4) / temperature).toBeCloseTo(1, 1);
  }
});

test('it is where the log loss is least', () => {
  const block = drawn(2, 300);
  const loss = (temperature: number): number =>
    block.classes.reduce((sum, c, i) => {
      const z = Array.from(block.logits.subarray(4 * i, 4 * i + 4), (value) => value / temperature);
      return sum + Math.log(z.reduce((total, value) => total + Math.exp(value), 0)) - (z[c] ?? 0);
    }, 0);
  const found = fit([block], 4);
  for (const other of [0.9 * found, 1.1 * found, 1]) expect(loss(found)).toBeLessThan(loss(other));
});

test('it stays 1 where the rows tell no other one apart', () => {
  const found = Array.from({ length: 40 }, (_, seed) => fit([drawn(1, 100, 4, seed)], 4));
  // Twice the gain is distributed as χ² with one degree of freedom, which is above 2 in 16 % of cases.
  expect(found.filter((temperature) => temperature === 1).length).toBeGreaterThan(27);
  expect(fit([drawn(1.1, 20_000)], 4)).not.toBe(1);
});

test('blocks add up, and a weight is so many rows', () => {
  const block = drawn(2, 90);
  const part = (from: number, to: number): LogitBlock => ({
    logits: block.logits.subarray(4 * from, 4 * to),
    classes: block.classes.subarray(from, to),
  });
  const whole = fit([block], 4);
  expect(fit([part(0, 20), part(20, 90)], 4)).toBeCloseTo(whole, 5);
  const weighted = fit([{ ...part(0, 20), weights: new Float32Array(20).fill(9) }, part(20, 90)], 4);
  expect(Math.abs(weighted / whole - 1)).toBeGreaterThan(0.01);
});

test('neither faultless nor hopeless logits, nor none, make it infinite or zero', () => {
  const right = { logits: Float32Array.of(2, 0, 0, 2, 3, 1), classes: Int32Array.of(0, 1, 0) };
  const wrong = { ...right, classes: Int32Array.of(1, 0, 1) };
  const flat = { ...right, logits: new Float32Array(6) };
  expect(fit([right], 2)).toBeGreaterThan(0.2);
  expect(fit([right], 2)).toBeLessThan(1.5);
  expect(fit([wrong], 2)).toBeCloseTo(20, 3);
  expect(Number.isFinite(fit([flat], 2))).toBe(true);
  expect(fit([], 2)).toBe(1);
});

test('the temperature that labels were drawn with is found again, and no label at all is no reason for another', () => {
  for (const temperature of [0.5, 1, 3]) {
    const random = uniform(23);
    const rows = Array.from({ length: 3000 }, () => {
      const logits = Float32Array.from({ length: 3 }, () => 6 * random() - 3);
      const truth = [0, 1, 2].filter((n) => random() < 1 / (1 + Math.exp(-(logits[n] ?? 0) / temperature)));
      return { logits, at: 0, labels: truth, weight: 1 };
    });
    expect(fitTemperature(multilabelTask, rows, 3) / temperature).toBeCloseTo(1, 1);
    // A weight is so many rows, give or take the one that is taken to exist.
    const twice = fitTemperature(
      multilabelTask,
      rows.map((row, i) => ({ ...row, weight: i < 1000 ? 2 : 1 })),
      3,
    );
    expect(twice).toBeCloseTo(fitTemperature(multilabelTask, [...rows.slice(0, 1000), ...rows], 3), 2);
  }
  expect(fitTemperature(multilabelTask, [], 3)).toBe(1);
});
