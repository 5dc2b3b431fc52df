import { Matrix } from 'ml-matrix';
import { featuresInMemory, trainingBlocks } from '../../src/head/examples.js';
import { fit, fitHead } from '../../src/head/fit.js';
import { HeadGraph } from '../../src/head/objective.js';
import { Preconditioner } from '../../src/head/preconditioner.js';
import { softmaxTask, taskOf } from '../../src/head/task.js';
import { learnWhitening } from '../../src/head/whiten.js';
import { IDS, uniform } from './data.js';

const [WIDTH, ROWS, CLASSES] = [24, 600, 5];

/** Features in which few directions carry nearly all, as a network's are; one feature is constant. */
function correlated() {
  const random = uniform(11);
  const mixing = Float64Array.from({ length: 3 * WIDTH }, () => random() - 0.5);
  const features = new Float32Array(ROWS * WIDTH);
  const classes = Int32Array.from({ length: ROWS }, (_, i) => i % CLASSES);
  for (let i = 0; i < ROWS; i++) {
    const hidden = [random(), random(), random()].map((z, k) => 4 * (z - 0.5) + ((classes[i] ?? 0) === k ? 1 : 0));
    for (let j = 0; j + 1 < WIDTH; j++) {
      const shared = hidden.reduce((sum, z, k) => sum + z * (mixing[k * WIDTH + j] ?? 0), 0);
      features[i * WIDTH + j] = shared + 0.05 * (random() - 0.5);
    }
  }
  return { rows: classes.map((_, i) => i), features, targets: classes };
}

/** XᵀX / M of features whose means are 0, which those of `correlated` nearly are. */
function covariance(features: Float32Array): Float32Array {
  const X = Matrix.from1DArray(ROWS, WIDTH, features);
  return Float32Array.from(X.transpose().mmul(X).div(ROWS).to1DArray());
}

test.each([
  ['classes', 'softmax', [[0], [1], [2], [3], [4]], 1e-3],
  ['classes without a penalty', 'softmax', [[0], [1], [2], [3], [4]], 0],
  ['labels', 'multilabel', [[], [0], [1, 3], [2], [0, 4]], 1e-3],
] as const)('leads to the same optimum of %s in fewer evaluations', async (_, kind, labelSets, l2) => {
  const graph = await HeadGraph.create(taskOf(kind));
  const block = correlated();
  const options = { count: CLASSES, labelSets, width: WIDTH, l2, tolerance: 1e-5 };
  const plain = await fit(graph, [block], options);
  const preconditioner = new Preconditioner(graph, covariance(block.features), 0.2);
  const found = await fit(graph, [block], { ...options, preconditioner });
  expect([plain.converged, found.converged]).toEqual([true, true]);
  expect(Math.abs(found.loss - plain.loss)).toBeLessThan(1e-6 + 1e-4 * (l2 === 0 ? 1 : 0));
  expect(found.evaluations).toBeLessThan(plain.evaluations / 2);
  await graph.release();
});

test('a head of many rows and classes is trained with it, to the optimum that there is without', async () => {
  const [rows, classes, width] = [2000, 500, 8];
  const random = uniform(5);
  const centres = Float32Array.from({ length: classes * width }, () => 2 * random());
  const features = Float32Array.from({ length: rows * width }, (_, k) => {
    const c = Math.floor(k / width) % classes;
    return (centres[c * width + (k % width)] ?? 0) + random() - 0.5 + (k % width > 0 ? 3 * ((k / width) % 1) : 0);
  });
  const targets = Int32Array.from({ length: rows }, (_, i) => i % classes);
  const names = Array.from({ length: classes }, (_, n) => `class ${String(n).padStart(3, '0')}`);
  const labelSets = names.map((_, n) => [n]);
  const examples = { task: softmaxTask, source: featuresInMemory(features, width), names, labelSets, targets };
  const graph = await HeadGraph.create(softmaxTask);
  const head = await fitHead(graph, examples, { ...IDS, l2: 0.01 });
  const transform = await learnWhitening(graph, examples, () => true);
  const blocks = await trainingBlocks(examples, () => true, transform);
  const plain = await fit(graph, blocks, { count: classes, labelSets, width, tolerance: 1e-6, l2: 0.01 });
  await graph.release();
  expect([head.training.converged, plain.converged]).toEqual([true, true]);
  expect(head.training.loss).toBeCloseTo(plain.loss, 6);
  expect(head.training.iterations).not.toBe(plain.iterations);
});
