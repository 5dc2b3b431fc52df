import { baselines } from '../../src/head/baselines.js';
import { type Examples, featuresInMemory, type FeatureSource } from '../../src/head/examples.js';
import { learningCurve } from '../../src/head/learning-curve.js';
import { HeadGraph } from '../../src/head/objective.js';
import { softmaxTask } from '../../src/head/task.js';
import { tuneHead, type TuneOptions } from '../../src/head/train.js';
import { IDS, uniform } from './data.js';

const graph = await HeadGraph.create(softmaxTask);
afterAll(() => graph.release());

const [ROWS, WIDTH] = [120, 12];

/** Three classes that overlap, 60, 40 and 20 rows, told apart by three of twelve features. */
function examples(): Examples & { features: Float32Array } {
  const random = uniform(99);
  const classes = Int32Array.from({ length: ROWS }, (_, i) => (i < 60 ? 0 : i < 100 ? 1 : 2));
  const features = new Float32Array(ROWS * WIDTH);
  classes.forEach((c, i) => {
    for (let j = 0; j < WIDTH; j++) features[i * WIDTH + j] = 4 * random() + (j === c ? 2 : 0);
  });
  return {
    task: softmaxTask,
    source: featuresInMemory(features, WIDTH),
    names: ['a', 'b', 'c'],
    labelSets: [[0], [1], [2]],
    targets: classes,
    features,
  };
}

const DATA = examples();
const GROUPS = Array.from({ length: ROWS }, (_, i) => `picture-${i}`);

function tune(options: Partial<TuneOptions> = {}, data: Examples = DATA) {
  return tuneHead(softmaxTask, graph, data, { ...IDS, mask: () => true, groups: GROUPS, ...options });
}

test('λ is chosen where held-out rows are told best, and the head is trained with it on all rows', async () => {
  const { head, crossValidation } = await tune();
  expect(crossValidation).toMatchObject({ folds: 5, rule: 'best', neverHeld: 0 });
  const path = crossValidation?.path ?? [];
  expect(path.map(({ l2 }) => l2)).toEqual(path.map(({ l2 }) => l2).sort((a, b) => b - a));
  expect(path.length + (crossValidation?.givenUp.length ?? 0)).toBeGreaterThan(3);
  const least = Math.min(...path.map(({ logLoss }) => logLoss));
  const chosen = path.find(({ l2 }) => l2 === head.l2);
  expect(chosen).toEqual(crossValidation?.chosen);
  expect(chosen?.logLoss).toBeLessThanOrEqual(least + 1e-3);
  expect(head.counts.train).toEqual([60, 40, 20]);
  expect(head.training).toMatchObject({ converged: true });
  expect(crossValidation?.evaluation.count).toBe(ROWS);
  expect(crossValidation?.evaluation.accuracy).toBe(chosen?.accuracy);
});

test('one-se takes a larger or equal λ', async () => {
  const [best, oneSe] = [await tune(), await tune({ l2Rule: 'one-se' })];
  expect(oneSe.head.l2).toBeGreaterThan(best.head.l2);
});

test('two runs give the same bits', async () => {
  const [first, second] = [await tune(), await tune()];
  expect(second.head.weights).toEqual(first.head.weights);
  expect([second.head.temperature, second.head.unknown]).toEqual([first.head.temperature, first.head.unknown]);
  expect(second.crossValidation?.path).toEqual(first.crossValidation?.path);
});

test('held-out rows have no say in the head that judges them', async () => {
  // Labels at random: only heads that saw a row could know its class.
  const random = uniform(5);
  const classes = DATA.targets.map(() => Math.floor(2 * random()));
  const { crossValidation } = await tune({ l2: 1e-4 }, { ...DATA, names: ['a', 'b'], targets: classes });
  expect(crossValidation?.evaluation.accuracy).toBeLessThan(0.65);
  expect(crossValidation?.rule).toBeUndefined();
});

test('equal rows are never on both sides of a fold', async () => {
  // Each row four times under a random label: with copies in training, each would be known by heart.
  const random = uniform(8);
  const copies = Array.from({ length: ROWS }, (_, i) => Math.floor(i / 4));
  const features = Float32Array.from(copies.flatMap((i) => [...DATA.features.subarray(WIDTH * i, WIDTH * (i + 1))]));
  const labels = copies.map(() => 0);
  copies.forEach((i, row) => {
    labels[row] = row % 4 === 0 ? Math.floor(2 * random()) : (labels[4 * i] ?? 0);
  });
  const data = {
    ...DATA,
    names: ['a', 'b'],
    targets: Int32Array.from(labels),
    source: featuresInMemory(features, WIDTH),
  };
  const apart = await tune({ l2: 1e-4, groups: copies.map((i) => `picture-${i}`) }, data);
  const together = await tune({ l2: 1e-4 }, data);
  expect(apart.crossValidation?.evaluation.accuracy).toBeLessThan(0.7);
  expect(together.crossValidation?.evaluation.accuracy).toBeGreaterThan(0.75);
});

test('the temperature makes out-of-fold log loss no worse, and probabilities heed it', async () => {
  const { head, crossValidation } = await tune({ l2: 1e-4 });
  expect(head.temperature).toBeGreaterThan(1.05);
  expect(head.temperature).toBe(crossValidation?.temperature);
  expect(crossValidation?.evaluation.logLoss).toBeLessThan(crossValidation?.uncalibrated.logLoss ?? 0);
  const [row] = head.predictProba(DATA.features.subarray(0, WIDTH)).to2DArray();
  const [plain] = head.with({ temperature: 1 }).predictProba(DATA.features.subarray(0, WIDTH)).to2DArray();
  expect(Math.max(...(row ?? []))).toBeLessThan(Math.max(...(plain ?? [])));
});

test('a head knows a picture that is like none of its classes, and 19 in 20 of those that are', async () => {
  const { head, crossValidation } = await tune();
  const { flaggedRight, typical } = crossValidation?.unknown ?? {};
  expect(flaggedRight).toBeCloseTo(0.05, 1);
  expect(typical?.count).toBe(Math.round(ROWS * (crossValidation?.evaluation.accuracy ?? NaN)));
  expect(head.unknown).toMatchObject({ rate: 0.05, typical });
  const known = head.typicality(DATA.features).filter(({ unknown }) => !unknown).length;
  expect(known / ROWS).toBeGreaterThan(0.9);
  // All of the classes' features are positive.
  const others = DATA.features.subarray(0, WIDTH).map((x) => -x);
  expect(head.typicality(others)).toEqual([{ typicality: 0, unknown: true }]);
});

test('the rate of unknown pictures can be set, turned off, and set again later', async () => {
  const rateOf = ({ head, crossValidation }: Awaited<ReturnType<typeof tune>>) => [
    head.unknown?.rate,
    crossValidation?.unknown?.flaggedRight,
  ];
  expect(rateOf(await tune({ unknown: 0.2 }))).toEqual([0.2, expect.closeTo(0.2, 1)]);
  const off = await tune({ unknown: 'off' });
  expect(rateOf(off)).toEqual(['off', 0]);
  const others = DATA.features.subarray(0, WIDTH).map((x) => -x);
  expect(off.head.typicality(others)).toEqual([{ typicality: 0, unknown: false }]);
  expect(off.head.withUnknown(0.01).typicality(others)).toEqual([{ typicality: 0, unknown: true }]);

  await expect(tune({ unknown: 1 })).rejects.toThrow(
    'The rate of unknown pictures is 1. It must be a number above 0 and below 1, such as 0.05.',
  );
  await expect(tune({ unknown: 0.05, folds: 0 })).rejects.toThrow(/cross-validation, and folds is 0\. Leave it out\./);
  const without = (await tune({ folds: 0 })).head;
  expect(() => without.withUnknown(0.1)).toThrow(
    /cannot call pictures unknown, as it was trained without cross-validation/,
  );
  expect(without.withUnknown('off').typicality(others)).toEqual([{ typicality: null, unknown: false }]);
});

test('features that are read anew each time give the same head', async () => {
  let passes = 0;
  const source: FeatureSource = {
    width: WIDTH,
    inMemory: false,
    room: 0,
    blocks: async function* () {
      passes++;
      // In another order and in other blocks than in memory.
      for (const [from, to] of [
        [70, 120],
        [0, 33],
        [33, 70],
      ] as const) {
        yield await Promise.resolve({
          rows: Int32Array.from({ length: to - from }, (_, i) => from + i),
          features: DATA.features.slice(from * WIDTH, to * WIDTH),
        });
      }
    },
  };
  const [streamed, inMemory] = [await tune({ l2: 0.1 }, { ...DATA, source }), await tune({ l2: 0.1 })];
  expect(passes).toBeGreaterThan(10);
  expect(streamed.head.training.converged).toBe(true);
  expect(streamed.head.training.loss).toBeCloseTo(inMemory.head.training.loss, 6);
  streamed.head.weights.to1DArray().forEach((w, i) => {
    expect(w).toBeCloseTo(inMemory.head.weights.to1DArray()[i] ?? NaN, 4);
  });
});

test('of features without room, cross-validation takes as many as there is room for, of every class', async () => {
  const rows = 7000;
  const classes = Int32Array.from({ length: rows }, (_, i) => (i % 1000 === 0 ? 2 : i % 2));
  const features = Float32Array.from({ length: rows * 2 }, (_, k) => Math.sin(k * k) + (classes[k >> 1] ?? 0));
  const source = { ...featuresInMemory(features, 2), inMemory: false, room: 6000 };
  const groups = Array.from({ length: rows }, (_, i) => `picture-${i}`);
  const found = await tune({ groups, l2: 0.1, folds: 2 }, { ...DATA, source, targets: classes });
  expect(found.head.counts.train).toEqual([3493, 3500, 7]);
  const { rows: used = 0, evaluation } = found.crossValidation ?? {};
  expect(used).toBeGreaterThanOrEqual(6000);
  expect(used).toBeLessThan(6010);
  expect(evaluation?.perClass.map(({ support }) => support)).toEqual([2994, 3000, 7]);
});

test('faultless and useless features both come to an end', async () => {
  const faultless = Float32Array.from({ length: ROWS * 3 }, (_, k) =>
    DATA.targets[Math.floor(k / 3)] === k % 3 ? 5 + Math.sin(k) : Math.cos(k),
  );
  const easy = await tune({}, { ...DATA, source: featuresInMemory(faultless, 3) });
  expect(easy.crossValidation?.evaluation.accuracy).toBe(1);
  expect(easy.head.temperature).toBeGreaterThan(0.05);
  expect(easy.head.l2).toBeGreaterThan(0);
  // All rows alike: nothing is left but the classes' shares, 60, 40 and 20.
  const alike = await tune({}, { ...DATA, source: featuresInMemory(new Float32Array(ROWS * 3).fill(7), 3) });
  expect(alike.head.l2).toBe(1e4);
  const [row] = alike.head.predictProba(Float32Array.of(7, 7, 7)).to2DArray();
  [1 / 2, 1 / 3, 1 / 6].forEach((share, n) => {
    expect(row?.[n]).toBeCloseTo(share, 1);
  });
});

test('rows outside of the part, and rows without a class, change nothing', async () => {
  const features = DATA.features.slice().fill(1e6, 0, 3 * WIDTH);
  const classes = DATA.targets.with(2, -1);
  const data = { ...DATA, targets: classes, source: featuresInMemory(features, WIDTH) };
  const mask = (row: number) => row >= 2;
  const { head } = await tune({ mask, l2: 0.1 }, data);
  const [shorter, labels] = [features.subarray(3 * WIDTH), classes.subarray(3)];
  const alone = await tune(
    { l2: 0.1, groups: GROUPS.slice(3) },
    { ...DATA, targets: labels, source: featuresInMemory(shorter, WIDTH) },
  );
  expect(head.counts.train).toEqual([57, 40, 20]);
  head.weights.to1DArray().forEach((w, i) => {
    expect(w).toBeCloseTo(alone.head.weights.to1DArray()[i] ?? NaN, 4);
  });
});

test('without folds λ is the given one and nothing is calibrated', async () => {
  const { head, crossValidation } = await tune({ folds: 0, l2: 0.2 });
  expect(crossValidation).toBeUndefined();
  expect([head.l2, head.temperature, head.unknown]).toEqual([0.2, 1, null]);
  // Where all rows are of one group there is nothing to hold out.
  const alone = await tune({ groups: GROUPS.map(() => 'all') });
  expect(alone.crossValidation).toBeUndefined();
});

test('a signal stops the cross-validation, and progress is told', async () => {
  const controller = new AbortController();
  const fits: number[] = [];
  const tuning = tune({
    signal: controller.signal,
    onFit: ({ fits: done }) => {
      fits.push(done);
      if (done === 10) controller.abort();
    },
  });
  await expect(tuning).rejects.toMatchObject({ name: 'AbortError' });
  expect(fits).toEqual([0, 5, 10]);
});

test('progress comes to its end with the last fit', async () => {
  const told: [number, number][] = [];
  const onFit = ({ fits, left }: { fits: number; left: number }) => told.push([fits, left]);
  await tune({ l2: 0.1, folds: 4, onFit });
  expect(told).toEqual([
    [0, 5],
    [4, 1],
  ]);
  told.length = 0;
  const { crossValidation } = await tune({ onFit });
  const { path = [], givenUp = [], folds = 0 } = crossValidation ?? {};
  expect(told.at(-1)).toEqual([(path.length + givenUp.length) * folds, 1]);
  expect(told.every(([, left], i) => left >= 1 && (i === 0 || left <= (told[i - 1]?.[1] ?? 0)))).toBe(true);
});

test.each([1, 2.5, -1])('%d folds are refused', async (folds) => {
  await expect(tune({ folds })).rejects.toThrow(
    `folds is ${folds}. It must be a whole number of at least 2. Use 0 for none.`,
  );
});

describe('beside the head', () => {
  const HEAD = { result: softmaxTask.evaluator(['a', 'b']).result(), counts: [20, 20] };
  const folds = [{ train: (row: number) => row % 2 === 0, validation: (row: number) => row % 2 === 1 }];

  it('neighbours and centroids go by the angle alone', async () => {
    // Two directions, of whatever length: both are always right.
    const random = uniform(4);
    const features = Float32Array.from({ length: 80 }, (_, k) => {
      const i = Math.floor(k / 2);
      return (1 + 9 * (i % 7)) * ((i % 4 < 2 ? 1 : 0.2) * (k % 2 === 0 ? 1 : 0.6) + 0.05 * random());
    });
    features.forEach((x, k) => {
      if (Math.floor(k / 2) % 4 >= 2 && k % 2 === 0) features[k] = -x;
    });
    const classes = Int32Array.from({ length: 40 }, (_, i) => (i % 4 < 2 ? 0 : 1));
    const data = { ...DATA, names: ['a', 'b'], targets: classes, source: featuresInMemory(features, 2) };
    const { nearestCentroid, nearestNeighbours } = await baselines(softmaxTask, graph, data, folds, HEAD);
    expect(nearestCentroid).toMatchObject({ accuracy: 1, count: 20 });
    expect(nearestNeighbours).toMatchObject({ k: 10, accuracy: 1, count: 20 });
  });

  it('neighbours vote: a class of two rows among ten never wins', async () => {
    const classes = DATA.targets.map((_, i) => (i === 0 || i === 2 ? 1 : 0));
    const { nearestNeighbours } = await baselines(
      softmaxTask,
      graph,
      { ...DATA, names: ['a', 'b'], targets: classes },
      [{ train: (row) => row % 2 === 0, validation: (row) => row === 0 || row === 2 }],
      HEAD,
    );
    expect(nearestNeighbours).toMatchObject({ accuracy: 0, count: 2 });
  });

  it('the most common class is judged on the rows that the head is, and compared with it', async () => {
    const evaluator = softmaxTask.evaluator(['a', 'b', 'c']);
    // True class, predicted class, how often: the head is right on 50 of 60, "always b" on 30.
    const predictions: [number, number, number][] = [
      [0, 0, 18],
      [0, 1, 2],
      [1, 1, 26],
      [1, 2, 4],
      [2, 2, 6],
      [2, 0, 4],
    ];
    for (const [c, predicted, times] of predictions) {
      for (let i = 0; i < times; i++)
        evaluator.add(
          [c],
          Float64Array.from([0, 1, 2], (n) => (n === predicted ? 0.8 : 0.1)),
        );
    }
    const head = { result: evaluator.result(), counts: [30, 50, 20] };
    const { mostCommon } = await baselines(softmaxTask, graph, DATA, folds, head);
    expect(mostCommon).toMatchObject({ label: 'b', accuracy: 0.5, count: 60, wins: 24, losses: 4 });
    expect(mostCommon.logLoss).toBeCloseTo(-(20 * Math.log(0.3) + 30 * Math.log(0.5) + 10 * Math.log(0.2)) / 60, 12);
    // Σ C(28, k) / 2²⁸ over k = 24 … 28.
    expect(mostCommon.pValue).toBeCloseTo(8.999556303024292e-5, 12);
  });

  it('the learning curve learns from ever more rows of each class, and ends with all', async () => {
    const points = await learningCurve(softmaxTask, graph, DATA, { ...IDS, l2: 0.3, folds, groups: GROUPS });
    expect(points.map(({ share, rows }) => [share, rows])).toEqual([
      [0.1, 6],
      [0.2, 12],
      [0.4, 24],
      [0.8, 48],
      [1, 60],
    ]);
    expect(points.at(-1)?.accuracy).toBeGreaterThan(points[0]?.accuracy ?? 1);
    expect(points.at(-1)?.accuracyInterval?.[0]).toBeLessThan(points.at(-1)?.accuracy ?? 0);
  });
});
