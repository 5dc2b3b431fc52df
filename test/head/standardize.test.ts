import { Matrix } from 'ml-matrix';
import { foldScaling, Moments, type Scaling, standardize } from '../../src/head/standardize.js';
import { overlapping, uniform } from './data.js';

function fitScaling(features: Float32Array, width: number): Scaling {
  return new Moments(width).add(features).scaling();
}

test('standardised features have mean 0 and deviation 1', () => {
  const { embeddings, width } = overlapping();
  const again = fitScaling(standardize(embeddings, fitScaling(embeddings, width)), width);
  again.mean.forEach((mean) => {
    expect(mean).toBeCloseTo(0, 6);
  });
  again.scale.forEach((scale) => {
    expect(scale).toBeCloseTo(1, 6);
  });
});

test('means and deviations are exact, dividing by the number of rows', () => {
  expect(fitScaling(Float32Array.of(1, 10, 3, 40), 2)).toEqual({
    mean: Float64Array.of(2, 25),
    scale: Float64Array.of(1, 15),
  });
});

test('a large mean does not drown the deviation', () => {
  const { mean, scale } = fitScaling(Float32Array.of(1e6, 1e6 + 2, 1e6, 1e6 + 2), 1);
  expect([mean[0], scale[0]]).toEqual([1e6 + 1, 1]);
});

test('blocks and joined parts give what all rows together give', () => {
  const { embeddings, width } = overlapping();
  const part = (from: number, to: number) => new Moments(width).add(embeddings.subarray(4 * from, 4 * to));
  const joined = new Moments(width).join(part(0, 7)).join(part(7, 40).add(embeddings.subarray(160)));
  const expected = fitScaling(embeddings, width);
  for (const key of ['mean', 'scale'] as const) {
    joined.scaling()[key].forEach((value, j) => {
      expect(value / (expected[key][j] ?? NaN)).toBeCloseTo(1, 12);
    });
  }
});

test('constant features become 0, also where they are constant but for rounding', () => {
  const [a, b, c] = [Math.fround(0.1), Math.fround(0.1 * (1 + 1e-7)), 1e-40];
  const features = Float32Array.of(0, a, c, 1, 0, b, 0, 2, 0, a, c, 4);
  const scaling = fitScaling(features, 4);
  expect([...scaling.scale.subarray(0, 3)]).toEqual([1, 1, 1]);
  const z = standardize(features, scaling);
  for (const row of [0, 1, 2]) {
    expect(z[4 * row]).toBe(0);
    for (const j of [1, 2]) expect(Math.abs(z[4 * row + j] ?? NaN)).toBeLessThan(1e-8);
  }
  expect(z[3]).toBeCloseTo(-4 / Math.sqrt(14), 6);
});

test('folded weights give the same logits on raw features as the standardised ones', () => {
  const { embeddings, width } = overlapping();
  const scaling = fitScaling(embeddings, width);
  const random = uniform(3);
  const W = new Matrix(Array.from({ length: 3 }, () => Array.from({ length: width }, () => 4 * random() - 2)));
  const b = Float64Array.of(0.5, -0.25, 0);
  const folded = foldScaling(W, b, scaling);

  const logits = (x: Float32Array, weights: Matrix, bias: ArrayLike<number>): number[] =>
    Matrix.from1DArray(60, width, x).mmul(weights.transpose()).addRowVector(bias).to1DArray();
  const expected = logits(standardize(embeddings, scaling), W, b);
  logits(embeddings, folded.weights, folded.bias).forEach((logit, i) => {
    expect(logit).toBeCloseTo(expected[i] ?? NaN, 5);
  });
  expect(folded.weights.to1DArray().every((w) => w === Math.fround(w))).toBe(true);
});
