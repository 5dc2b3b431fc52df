import type { ExampleBlock } from '../../src/head/examples.js';
import { HeadGraph, HeadObjective, toParameters } from '../../src/head/objective.js';
import { multilabelTask } from '../../src/head/task.js';
import { uniform } from './data.js';
import { labelled } from './multilabel-data.js';

const { embeddings, width, labels } = labelled();
const { names, labelSets, targets } = multilabelTask.encode(labels, () => true);
const [rows, count] = [labels.length, names.length];

const graph = await HeadGraph.create(multilabelTask);
afterAll(() => graph.release());

/** The objective in plain float64 loops, with log σ written out. */
function reference(x: Float64Array, l2: number, weights: ArrayLike<number>, smoothing: number): number {
  let [loss, sumOfWeights] = [0, 0];
  for (let i = 0; i < rows; i++) {
    names.forEach((name, n) => {
      let z = x[count * width + n] ?? 0;
      for (let j = 0; j < width; j++) z += (x[n * width + j] ?? 0) * (embeddings[i * width + j] ?? 0);
      const p = 1 / (1 + Math.exp(-z));
      const target = (1 - smoothing) * (labels[i]?.includes(name) ? 1 : 0) + smoothing / 2;
      loss -= (weights[i] ?? 0) * (target * Math.log(p) + (1 - target) * Math.log(1 - p));
    });
    sumOfWeights += weights[i] ?? 0;
  }
  const penalty = x.subarray(0, count * width).reduce((total, w) => total + w * w, 0);
  return loss / sumOfWeights + (l2 / 2) * penalty;
}

test.each([0, 0.2])('loss and gradient are those of the binary cross-entropies, smoothed by %p', async (smoothing) => {
  const random = uniform(11);
  const weights = Float32Array.from({ length: rows }, () => 0.25 + 3 * random());
  const l2 = 0.3;
  // Two blocks, the second one larger: targets of the first must not be left in it.
  const blocks: ExampleBlock[] = [[0, 20] as const, [20, 60] as const].map(([from, to]) => ({
    features: embeddings.subarray(from * width, to * width),
    rows: Int32Array.from({ length: to - from }, (_, i) => from + i),
    targets: targets.subarray(from, to),
    weights: weights.subarray(from, to),
  }));
  const objective = await HeadObjective.create(graph, blocks, { count, labelSets, width, labelSmoothing: smoothing });
  const x = Float64Array.from({ length: count * (width + 1) }, () => Math.fround(0.05 * (2 * random() - 1)));
  for (let time = 0; time < 2; time++) {
    const { heads, gradient } = await objective.at(toParameters(x, count), l2);
    expect(heads[0]?.loss).toBeCloseTo(reference(x, l2, weights, smoothing), 5);
    const slopes = [...gradient.W, ...gradient.b];
    expect(slopes).toHaveLength(x.length);
    slopes.forEach((slope, i) => {
      const h = 1e-5;
      const at = (by: number) => reference(x.with(i, (x[i] ?? 0) + by), l2, weights, smoothing);
      const expected = (at(h) - at(-h)) / (2 * h);
      expect(Math.abs(slope - expected)).toBeLessThan(2e-5 * Math.max(1, Math.abs(expected)));
    });
  }
});

test('huge logits neither overflow nor lose the loss', async () => {
  const block = {
    rows: Int32Array.of(0, 1),
    features: Float32Array.of(1000, -1000),
    targets: Int32Array.of(0, 0),
  };
  const objective = await HeadObjective.create(graph, [block], { count: 1, width: 1, labelSets: [[0]] });
  // Logits ±10⁶: the first row is surely right, the second surely wrong, by 10⁶ nats.
  const { heads, gradient } = await objective.at({ W: Float32Array.of(1000), b: Float32Array.of(0) }, 0);
  expect(heads[0]?.loss).toBe(5e5);
  expect(gradient).toEqual({ W: Float32Array.of(500), b: Float32Array.of(-0.5) });
});
