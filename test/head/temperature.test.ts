import {
  chooseUnknown,
  fitLabelTemperature,
  fitTemperature,
  type LogitBlock,
} from '../../src/head/calibrate.js';
import { uniform } from './data.js';

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
    expect(fitTemperature([drawn(temperature, 5000)], 4) / temperature).toBeCloseTo(1, 1);
  }
});

test('it is where the log loss is least', () => {
  const block = drawn(2, 300);
  const loss = (temperature: number): number =>
    block.classes.reduce((sum, c, i) => {
      const z = Array.from(block.logits.subarray(4 * i, 4 * i + 4), (value) => value / temperature);
      return sum + Math.log(z.reduce((total, value) => total + Math.exp(value), 0)) - (z[c] ?? 0);
    }, 0);
  const found = fitTemperature([block], 4);
  for (const other of [0.9 * found, 1.1 * found, 1]) expect(loss(found)).toBeLessThan(loss(other));
});

test('it stays 1 where the rows tell no other one apart', () => {
  const found = Array.from({ length: 40 }, (_, seed) => fitTemperature([drawn(1, 100, 4, seed)], 4));
  // Twice the gain is distributed as χ² with one degree of freedom, which is above 2 in 16 % of cases.
  expect(found.filter((temperature) => temperature === 1).length).toBeGreaterThan(27);
  expect(fitTemperature([drawn(1.1, 20_000)], 4)).not.toBe(1);
});

test('blocks add up, and a weight is so many rows', () => {
  const block = drawn(2, 90);
  const part = (from: number, to: number): LogitBlock => ({
    logits: block.logits.subarray(4 * from, 4 * to),
    classes: block.classes.subarray(from, to),
  });
  const whole = fitTemperature([block], 4);
  expect(fitTemperature([part(0, 20), part(20, 90)], 4)).toBeCloseTo(whole, 5);
  const weighted = fitTemperature(
    [{ ...part(0, 20), weights: new Float32Array(20).fill(9) }, part(20, 90)],
    4,
  );
  expect(Math.abs(weighted / whole - 1)).toBeGreaterThan(0.01);
});

test('neither faultless nor hopeless logits, nor none, make it infinite or zero', () => {
  const right = { logits: Float32Array.of(2, 0, 0, 2, 3, 1), classes: Int32Array.of(0, 1, 0) };
  const wrong = { ...right, classes: Int32Array.of(1, 0, 1) };
  const flat = { ...right, logits: new Float32Array(6) };
  expect(fitTemperature([right], 2)).toBeGreaterThan(0.2);
  expect(fitTemperature([right], 2)).toBeLessThan(1.5);
  expect(fitTemperature([wrong], 2)).toBeCloseTo(20, 3);
  expect(Number.isFinite(fitTemperature([flat], 2))).toBe(true);
  expect(fitTemperature([], 2)).toBe(1);
});

test('the threshold is the largest that lets 95 % of the right answers pass', () => {
  const right = Array.from({ length: 100 }, (_, i) => (i + 1) / 100);
  const wrong = [0.01, 0.03, 0.5, 0.9];
  const isRight = Uint8Array.from([...wrong, ...right], (_, i) => (i < 4 ? 0 : 1));
  const rule = chooseUnknown(Float64Array.from([...wrong, ...right]), isRight);
  expect(rule).toEqual({ threshold: 0.06, keptRight: 0.95, flaggedWrong: 0.5 });
  expect(chooseUnknown(Float64Array.of(0.9), Uint8Array.of(1))).toEqual({
    threshold: 0.9,
    keptRight: 1,
    flaggedWrong: null,
  });
  expect(chooseUnknown(Float64Array.of(0.9), Uint8Array.of(0))).toBeNull();
});

test('the temperature that labels were drawn with is found again, and no label at all is no reason for another', () => {
  for (const temperature of [0.5, 1, 3]) {
    const random = uniform(23);
    const rows = Array.from({ length: 3000 }, () => {
      const logits = Float32Array.from({ length: 3 }, () => 6 * random() - 3);
      const truth = [0, 1, 2].filter((n) => random() < 1 / (1 + Math.exp(-(logits[n] ?? 0) / temperature)));
      return { logits, truth, weight: 1 };
    });
    expect(fitLabelTemperature(rows) / temperature).toBeCloseTo(1, 1);
    // A weight is so many rows, give or take the one that is taken to exist.
    const twice = fitLabelTemperature(rows.map((row, i) => ({ ...row, weight: i < 1000 ? 2 : 1 })));
    expect(twice).toBeCloseTo(fitLabelTemperature([...rows.slice(0, 1000), ...rows]), 2);
  }
  expect(fitLabelTemperature([])).toBe(1);
});
