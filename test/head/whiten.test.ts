import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { featuresInMemory } from '../../src/head/examples.js';
import { HeadGraph } from '../../src/head/objective.js';
import { softmaxTask } from '../../src/head/task.js';
import { learnWhitening } from '../../src/head/whiten.js';
import { uniform } from './data.js';

const WIDTH = 48;
const graph = await HeadGraph.create(softmaxTask);
afterAll(() => graph.release());

/** Features with a strong common part, one of them constant. */
function correlated(rows: number): Float32Array {
  const random = uniform(17);
  return Float32Array.from({ length: rows * WIDTH }, () => random()).map((value, k, all) =>
    k % WIDTH === 5 ? 3 : (1 + (k % WIDTH)) * (value + 8 * (all[k - (k % WIDTH)] ?? 0)),
  );
}

function examplesOf(features: Float32Array) {
  const rows = features.length / WIDTH;
  return {
    task: softmaxTask,
    source: featuresInMemory(features, WIDTH),
    names: ['ant', 'bee'],
    labelSets: [[0], [1]],
    targets: Int32Array.from({ length: rows }, (_, i) => i % 2),
  };
}

/** k (S + ρI)^−¼ (x − mean) / deviation by the eigenvectors of S, in float64. */
function reference(features: Float32Array, mask: (row: number) => boolean): Matrix {
  const all = Matrix.from1DArray(features.length / WIDTH, WIDTH, features);
  const used = new Matrix(all.to2DArray().filter((_, row) => mask(row)));
  const mean = used.mean('column');
  const deviation = used
    .standardDeviation('column', { unbiased: false, mean })
    .map((value) => (value > 1e-5 ? value : 1));
  const standardized = all.subRowVector(mean).divRowVector(deviation);
  const Z = new Matrix(standardized.to2DArray().filter((_, row) => mask(row)));
  const S = Z.transpose().mmul(Z).div(Z.rows);
  const rho = (0.1 * S.trace()) / WIDTH;
  const { realEigenvalues, eigenvectorMatrix: Q } = new EigenvalueDecomposition(S, { assumeSymmetric: true });
  const T = Q.mmul(Matrix.diag(realEigenvalues.map((value) => (Math.max(0, value) + rho) ** -0.25))).mmul(
    Q.transpose(),
  );
  const mapped = standardized.mmul(T);
  const variance = new Matrix(mapped.to2DArray().filter((_, row) => mask(row))).pow(2).sum() / Z.rows / WIDTH;
  return mapped.div(Math.sqrt(variance));
}

test.each([
  ['more rows than features', 300],
  ['fewer rows than features', 30],
])('whitens half way, as the eigenvectors of the covariance do: %s', async (_, rows) => {
  const features = correlated(rows);
  // The last third is not trained on, and mapped like the rest.
  const mask = (row: number) => row < (2 * rows) / 3;
  const transform = await learnWhitening(graph, examplesOf(features), mask);
  const found = await transform.apply(features);
  const expected = reference(features, mask).to1DArray();
  const largest = Math.max(...expected.map(Math.abs));
  for (const [i, value] of expected.entries()) expect(Math.abs((found[i] ?? NaN) - value)).toBeLessThan(1e-4 * largest);
  const mapped = new Matrix(
    reference(features, mask)
      .to2DArray()
      .filter((_, row) => mask(row)),
  );
  const covariance = mapped.transpose().mmul(mapped).div(mapped.rows);
  const error = Matrix.sub(covariance, Matrix.from1DArray(WIDTH, WIDTH, transform.covariance ?? []));
  expect(error.norm('frobenius')).toBeLessThan(1e-3 * covariance.norm('frobenius'));
});

test('weights of whitened features, folded, give the same logits on raw ones', async () => {
  const features = correlated(60);
  const transform = await learnWhitening(graph, examplesOf(features), () => true);
  const random = uniform(3);
  const W = Float64Array.from({ length: 2 * WIDTH }, () => random() - 0.5);
  const b = Float64Array.of(0.5, -0.25);
  const { weights, bias } = await transform.fold(W, b);
  const logits = (x: Float32Array, of: Matrix, add: ArrayLike<number>) =>
    Matrix.from1DArray(60, WIDTH, x).mmul(of.transpose()).addRowVector(add).to1DArray();
  const expected = logits(await transform.apply(features), Matrix.from1DArray(2, WIDTH, W), b);
  logits(features, weights, bias).forEach((logit, i) => {
    expect(logit).toBeCloseTo(expected[i] ?? NaN, 4);
  });
});

test('pictures that are all alike are no trouble', async () => {
  const features = new Float32Array(10 * WIDTH).fill(7);
  const transform = await learnWhitening(graph, examplesOf(features), () => true);
  expect(await transform.apply(features)).toEqual(new Float32Array(10 * WIDTH));
});
