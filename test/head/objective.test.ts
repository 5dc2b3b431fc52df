import { evaluationBlocks, featuresInMemory, type ExampleBlock } from '../../src/head/examples.js';
import { HeadGraph, HeadObjective, toParameters, type ObjectiveOptions } from '../../src/head/objective.js';
import { softmaxTask } from '../../src/head/task.js';
import { overlapping, uniform } from './data.js';

const { embeddings, width, classes } = overlapping();

function block(from: number, to: number): ExampleBlock {
  return blockOf(embeddings.subarray(from * width, to * width), classes.subarray(from, to));
}

function blockOf(features: Float32Array, targets: Int32Array): ExampleBlock {
  return { rows: targets.map((_, i) => i), features, targets };
}

const graph = await HeadGraph.create(softmaxTask);
afterAll(() => graph.release());

type Blocks = Iterable<ExampleBlock> | AsyncIterable<ExampleBlock>;

async function objectiveOf(blocks: Blocks, { l2, ...options }: Omit<ObjectiveOptions, 'labelSets'> & { l2: number }) {
  const labelSets = Array.from({ length: options.count }, (_, n) => [n]);
  const objective = await HeadObjective.create(graph, blocks, { ...options, labelSets });
  return async (x: Float64Array) => {
    const { heads, gradient } = await objective.at(toParameters(x, options.count), l2);
    return { loss: heads[0]?.loss ?? NaN, gradient: [...gradient.W, ...gradient.b] };
  };
}

/** The objective in plain float64 loops. */
function reference(
  parameters: Float64Array,
  l2: number,
  { weights = classes.map(() => 1), smoothing = 0 }: { weights?: ArrayLike<number>; smoothing?: number } = {},
): number {
  const at = (i: number): number => parameters[i] ?? 0;
  let [loss, sumOfWeights] = [0, 0];
  classes.forEach((y, i) => {
    const logits = [0, 1, 2].map((n) => {
      let logit = at(3 * width + n);
      for (let j = 0; j < width; j++) logit += at(n * width + j) * (embeddings[i * width + j] ?? 0);
      return logit;
    });
    const largest = Math.max(...logits);
    const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
    const target = (1 - smoothing) * (logits[y] ?? 0) + (smoothing / 3) * logits.reduce((a, b) => a + b);
    loss += (weights[i] ?? 0) * (largest + Math.log(sum) - target);
    sumOfWeights += weights[i] ?? 0;
  });
  const penalty = parameters.subarray(0, 3 * width).reduce((total, w) => total + w * w, 0);
  return loss / sumOfWeights + (l2 / 2) * penalty;
}

function randomParameters(seed: number, scale: number): Float64Array {
  const random = uniform(seed);
  return Float64Array.from({ length: 3 * (width + 1) }, () => Math.fround(scale * (2 * random() - 1)));
}

test('loss and gradient are those of mean cross-entropy + λ/2 ‖W‖², the bias unpenalised', async () => {
  const l2 = 0.3;
  const objective = await objectiveOf([block(0, 60)], { count: 3, width, l2 });
  const x = randomParameters(1, 0.05);
  const { loss, gradient } = await objective(x);
  expect(loss).toBeCloseTo(reference(x, l2), 6);
  gradient.forEach((slope, i) => {
    const h = 1e-5;
    const shifted = (by: number): number => reference(x.with(i, (x[i] ?? 0) + by), l2);
    const expected = (shifted(h) - shifted(-h)) / (2 * h);
    expect(Math.abs(slope - expected)).toBeLessThan(1e-5 * Math.max(1, Math.abs(expected)));
  });
});

test('with sample weights and label smoothing, too', async () => {
  const random = uniform(11);
  const weights = Float32Array.from(classes, () => 0.25 + 3 * random());
  const [l2, smoothing] = [0.3, 0.2];
  const whole = { ...block(0, 60), weights };
  const objective = await objectiveOf([whole], { count: 3, width, l2, labelSmoothing: smoothing });
  const x = randomParameters(6, 0.05);
  const { loss, gradient } = await objective(x);
  const at = (moved: Float64Array): number => reference(moved, l2, { weights, smoothing });
  expect(loss).toBeCloseTo(at(x), 6);
  gradient.forEach((slope, i) => {
    const h = 1e-5;
    const expected = (at(x.with(i, (x[i] ?? 0) + h)) - at(x.with(i, (x[i] ?? 0) - h))) / (2 * h);
    expect(Math.abs(slope - expected)).toBeLessThan(1e-5 * Math.max(1, Math.abs(expected)));
  });
});

test('a block of more classes has fewer rows, so that logits do not fill the memory', async () => {
  const [rows, sizes] = [1024, [] as number[]];
  for (const count of [2, 1000, 10_000]) {
    const names = Array.from({ length: count }, String);
    const examples = {
      task: softmaxTask,
      names,
      labelSets: names.map((_, n) => [n]),
      targets: new Int32Array(rows),
      source: featuresInMemory(new Float32Array(rows), 1),
    };
    for await (const { targets } of evaluationBlocks(examples, () => true)) {
      sizes.push(targets.length);
      break;
    }
  }
  expect(sizes).toEqual([1024, 524, 52]);
});

test('the loss follows its gradient (float32 finite differences along a direction)', async () => {
  const objective = await objectiveOf([block(0, 60)], { count: 3, width, l2: 0.1 });
  const [x, direction] = [randomParameters(2, 0.02), randomParameters(3, 1)];
  const { gradient } = await objective(x);
  const h = 2 ** -10;
  const at = async (step: number): Promise<number> =>
    (await objective(x.map((value, i) => value + step * (direction[i] ?? 0)))).loss;
  const measured = ((await at(h)) - (await at(-h))) / (2 * h);
  const expected = gradient.reduce((sum, slope, i) => sum + slope * (direction[i] ?? 0), 0);
  expect(Math.abs(expected)).toBeGreaterThan(0.5);
  expect(measured / expected).toBeCloseTo(1, 3);
});

test('blocks add up to the whole, be they an array or an asynchronous source', async () => {
  const options = { count: 3, width, l2: 0.1 };
  const source = {
    async *[Symbol.asyncIterator]() {
      yield await Promise.resolve(block(0, 7));
      yield block(7, 40);
      yield block(40, 60);
    },
  };
  const whole = await objectiveOf([block(0, 60)], options);
  const parts = await objectiveOf(source, options);
  const x = randomParameters(4, 0.05);
  const expected = await whole(x);
  for (let time = 0; time < 2; time++) {
    const { loss, gradient } = await parts(x);
    expect(loss).toBeCloseTo(expected.loss, 6);
    gradient.forEach((value, i) => {
      expect(value).toBeCloseTo(expected.gradient[i] ?? NaN, 5);
    });
  }
});

test('huge logits neither overflow nor lose the loss', async () => {
  const objective = await objectiveOf([blockOf(Float32Array.of(1000, -1000), Int32Array.of(0, 0))], {
    count: 2,
    width: 1,
    l2: 0,
  });
  // Logits ±10⁶: the first row is surely right, the second surely wrong, by 2 · 10⁶ nats.
  const { loss, gradient } = await objective(Float64Array.of(1000, -1000, 0, 0));
  expect(loss).toBe(1e6);
  expect([...gradient]).toEqual([500, -500, -0.5, 0.5]);
});

test('the same input gives the same bits', async () => {
  const random = uniform(5);
  const features = Float32Array.from({ length: 1000 * 64 }, random);
  const y = Int32Array.from({ length: 1000 }, (_, i) => i % 10);
  const objective = await objectiveOf([blockOf(features, y)], {
    count: 10,
    width: 64,
    l2: 0.1,
  });
  const x = Float64Array.from({ length: 10 * 65 }, random);
  const first = await objective(x);
  for (let time = 0; time < 20; time++) expect(await objective(x)).toEqual(first);
});

test('heads that leave out a fold each are evaluated at once, as they would be alone', async () => {
  const foldOf = Int32Array.from(classes, (_, i) => i % 3);
  const options = { count: 3, width, labelSets: [[0], [1], [2]], labelSmoothing: 0.1 };
  const blocks = [block(0, 25), { ...block(25, 60), rows: Int32Array.from({ length: 35 }, (_, i) => 25 + i) }];
  const together = await HeadObjective.create(graph, blocks, {
    ...options,
    leftOut: { foldOf, folds: [0, 1, 2] },
  });
  const points = [7, 8, 9].map((seed) => randomParameters(seed, 0.05));
  const all = points.map((x) => toParameters(x, 3));
  const W = Float32Array.from(all.flatMap((each) => [...each.W]));
  const { heads, gradient } = await together.at({ W, b: Float32Array.from(all.flatMap((each) => [...each.b])) }, 0.3);
  for (const [fold, x] of points.entries()) {
    const rowsOf = (isHeld: boolean) => {
      const rows = [...classes.keys()].filter((i) => (i % 3 === fold) === isHeld);
      const features = Float32Array.from(rows.flatMap((i) => [...embeddings.subarray(i * width, (i + 1) * width)]));
      return blockOf(
        features,
        Int32Array.from(rows, (i) => classes[i] ?? 0),
      );
    };
    const alone = await HeadObjective.create(graph, [rowsOf(false)], options);
    const held = await HeadObjective.create(graph, [rowsOf(true)], options);
    const parameters = toParameters(x, 3);
    const [expected, heldOut] = [await alone.at(parameters, 0.3), await held.at(parameters, 0)];
    expect(heads[fold]?.loss).toBeCloseTo(expected.heads[0]?.loss ?? NaN, 6);
    expect(heads[fold]?.gradientNorm).toBeCloseTo(expected.heads[0]?.gradientNorm ?? NaN, 5);
    expect(heads[fold]?.heldOut).toBeCloseTo(heldOut.heads[0]?.loss ?? NaN, 6);
    for (const key of ['W', 'b'] as const) {
      const size = expected.gradient[key].length;
      expected.gradient[key].forEach((value, i) => {
        expect(gradient[key][fold * size + i]).toBeCloseTo(value, 5);
      });
    }
  }
});
