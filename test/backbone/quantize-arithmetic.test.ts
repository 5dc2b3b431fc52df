import { Histogram, percentileRange, roundingOf } from '../../src/backbone/quantize/calibration.js';
import { quantizeWeights } from '../../src/backbone/quantize/graph.js';

/** Numbers from a fixed seed, each −1 … 1. */
function noise(length: number, seed = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

describe('the range of an activation', () => {
  // The tails are thin, as those of activations are.
  const values = noise(400_000).map((value) => 10 * value ** 9);
  const sorted = values.slice().sort();

  it('leaves 1 in 100,000 values out at either end', () => {
    const histogram = new Histogram();
    histogram.add(values);
    const { min, max } = percentileRange(histogram);
    const width = 2 ** -9; // of a bin, with the limit at 16
    expect(Math.abs(min - (sorted[4] ?? NaN))).toBeLessThan(width);
    expect(Math.abs(max - (sorted.at(-5) ?? NaN))).toBeLessThan(width);
    expect(max).toBeLessThan(sorted.at(-1) ?? NaN);
  });

  it('is the same in whatever portions and order the values come', () => {
    const whole = new Histogram();
    whole.add(values);
    const inPortions = new Histogram();
    for (let i = 0; i < values.length; i += 1000) inPortions.add(sorted.slice(i, i + 1000));
    expect([...inPortions.bins()]).toEqual([...whole.bins()]);
    expect([inPortions.min, inPortions.max]).toEqual([sorted[0], sorted.at(-1)]);
  });

  it('goes to the ends where there are few values', () => {
    const histogram = new Histogram();
    histogram.add(Float32Array.of(0, 0.25, 3));
    const { min, max } = percentileRange(histogram);
    expect([min, max].map((value) => Math.round(value * 100) / 100)).toEqual([0, 3]);
  });

  it('cannot be had of values that are not finite', () => {
    expect(() => {
      new Histogram().add(Float32Array.of(1, NaN));
    }).toThrow(/not finite/);
  });
});

describe('rounding', () => {
  it('maps the range onto 0 … 255 and zero onto a whole number', () => {
    expect(roundingOf({ min: 0, max: 5.1 })).toEqual({ scale: Math.fround(0.02), zeroPoint: 0 });
    expect(roundingOf({ min: -1, max: 1.55 })).toEqual({ scale: Math.fround(0.01), zeroPoint: 100 });
  });

  it('widens a range that leaves zero out, and survives one of nothing', () => {
    expect(roundingOf({ min: 2, max: 2.55 })).toEqual({ scale: Math.fround(0.01), zeroPoint: 0 });
    expect(roundingOf({ min: -2.55, max: -1 })).toEqual({ scale: Math.fround(0.01), zeroPoint: 255 });
    expect(roundingOf({ min: 0, max: 0 })).toEqual({ scale: 1, zeroPoint: 0 });
  });
});

describe('the weights of a convolution', () => {
  it('are within half a step of the float32 ones, each channel in steps of its own', () => {
    const weight = noise(4 * 2 * 9).map((value, i) => value * 10 ** -Math.floor(i / 18));
    const { weight: levels, scales } = quantizeWeights(
      { shape: [4, 2, 3, 3], weight, bias: new Float32Array(4) },
      0.02,
      new Float64Array(2),
    );
    for (const [o, scale] of scales.entries()) {
      const own = weight.subarray(18 * o, 18 * (o + 1));
      const largest = Math.max(...own.map(Math.abs));
      expect(scale).toBeCloseTo(largest / 127, 8);
      own.forEach((w, i) => {
        expect(Math.abs((levels[18 * o + i] ?? NaN) * scale - w)).toBeLessThanOrEqual(0.5001 * scale);
      });
    }
  });

  it('give each channel the same mean as before, by way of the bias', () => {
    const [inputScale, means] = [0.01, Float64Array.of(0.5, 1, 2, 4)];
    const weight = noise(6 * 2 * 1);
    const bias = noise(6, 2);
    // Two groups: the first three channels read the inputs 0 and 1, the others 2 and 3.
    const quantized = quantizeWeights({ shape: [6, 2, 1, 1], weight, bias }, inputScale, means);
    for (let o = 0; o < 6; o++) {
      const [a = 0, b = 0] = o < 3 ? means.slice(0, 2) : means.slice(2);
      const mean = (weight[2 * o] ?? NaN) * a + (weight[2 * o + 1] ?? NaN) * b + (bias[o] ?? NaN);
      const scale = quantized.scales[o] ?? NaN;
      const [p = NaN, q = NaN] = quantized.weight.slice(2 * o, 2 * o + 2);
      const after = scale * (p * a + q * b) + inputScale * scale * (quantized.bias[o] ?? NaN);
      expect(Math.abs(after - mean)).toBeLessThanOrEqual(0.5001 * inputScale * scale);
    }
  });

  it('of a channel that is all but dead leave its bias what it is', () => {
    const { bias, scales } = quantizeWeights(
      { shape: [2, 1, 1, 1], weight: Float32Array.of(1e-12, 0), bias: Float32Array.of(0.5, -0.25) },
      0.02,
      new Float64Array(1),
    );
    const found = [...bias].map((value, o) => value * 0.02 * (scales[o] ?? NaN));
    expect(found[0]).toBeCloseTo(0.5, 6);
    expect(found[1]).toBeCloseTo(-0.25, 6);
  });
});
