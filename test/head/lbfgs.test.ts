import { minimizeLbfgs, type Objective } from '../../src/head/lbfgs.js';
import { uniform } from './data.js';

/** Σ 100 (xᵢ₊₁ − xᵢ²)² + (1 − xᵢ)², whose minimum is 0 at (1, …, 1); counts its calls. */
function rosenbrock(): { objective: Objective; calls: () => number } {
  let calls = 0;
  const objective: Objective = (x) => {
    calls++;
    const gradient = new Float64Array(x.length);
    let loss = 0;
    for (let i = 0; i + 1 < x.length; i++) {
      const [a, b] = [x[i] ?? 0, x[i + 1] ?? 0];
      loss += 100 * (b - a * a) ** 2 + (1 - a) ** 2;
      gradient[i] = (gradient[i] ?? 0) - 400 * a * (b - a * a) - 2 * (1 - a);
      gradient[i + 1] = (gradient[i + 1] ?? 0) + 200 * (b - a * a);
    }
    return Promise.resolve({ loss, gradient });
  };
  return { objective, calls: () => calls };
}

const START = Float64Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? -1.2 : 1));

test('finds the minimum of the Rosenbrock function', async () => {
  const { objective, calls } = rosenbrock();
  const { x, loss, gradientNorm, iterations, evaluations, converged, reason } = await minimizeLbfgs(objective, START, {
    tolerance: 1e-8,
  });
  x.forEach((value) => {
    expect(value).toBeCloseTo(1, 7);
  });
  expect(loss).toBeLessThan(1e-15);
  expect(gradientNorm).toBeLessThanOrEqual(1e-8);
  expect({ converged, reason }).toEqual({ converged: true, reason: 'gradient' });
  expect(evaluations).toBe(calls());
  expect(iterations).toBeLessThan(100);
  expect(START[0]).toBe(-1.2);
});

test('every iteration decreases the loss, and each is reported', async () => {
  const seen: { iteration: number; loss: number; gradientNorm: number }[] = [];
  const { iterations, loss, gradientNorm } = await minimizeLbfgs(rosenbrock().objective, START, {
    onIteration: (progress) => seen.push(progress),
  });
  expect(seen.map(({ iteration }) => iteration)).toEqual(seen.map((_, i) => i + 1));
  expect(seen.at(-1)).toEqual({ iteration: iterations, loss, gradientNorm });
  seen.slice(1).forEach((progress, i) => {
    expect(progress.loss).toBeLessThan(seen[i]?.loss ?? NaN);
  });
});

test('is at the end at once where it starts at the minimum', async () => {
  const { objective, calls } = rosenbrock();
  const { iterations, converged } = await minimizeLbfgs(objective, new Float64Array(4).fill(1));
  expect({ iterations, converged, calls: calls() }).toEqual({ iterations: 0, converged: true, calls: 1 });
});

test('says so where the iterations run out', async () => {
  const result = await minimizeLbfgs(rosenbrock().objective, START, { maxIterations: 3 });
  expect(result).toMatchObject({ iterations: 3, converged: false, reason: 'max-iterations' });
  expect(result.gradientNorm).toBeGreaterThan(1e-5);
});

test('an objective with noise ends, near the minimum, and claims no convergence that it has not reached', async () => {
  const random = uniform(11);
  const noisy: Objective = (x) => {
    const loss = x.reduce((sum, value, i) => sum + ((i + 1) * value * value) / 2, 0);
    const gradient = x.map((value, i) => (i + 1) * value + 1e-6 * (random() - 0.5));
    return Promise.resolve({ loss: loss + 1e-7 * (random() - 0.5), gradient });
  };
  const result = await minimizeLbfgs(noisy, new Float64Array(20).fill(1), { tolerance: 1e-9, noise: 1e-7 });
  expect(result.converged).toBe(false);
  expect(result.gradientNorm).toBeGreaterThan(1e-9);
  expect(result.gradientNorm).toBeLessThan(1e-4);
  expect(result.evaluations).toBeLessThan(5000);
});

test('a function without a minimum ends without converging', async () => {
  const slope: Objective = (x) => Promise.resolve({ loss: x[0] ?? 0, gradient: Float64Array.of(1) });
  expect(await minimizeLbfgs(slope, Float64Array.of(0), { maxIterations: 5 })).toMatchObject({
    converged: false,
  });
});

test('a gradient that contradicts the loss ends the search', async () => {
  const wrong: Objective = (x) => Promise.resolve({ loss: x[0] ?? 0, gradient: Float64Array.of(-1) });
  expect(await minimizeLbfgs(wrong, Float64Array.of(0))).toMatchObject({
    iterations: 0,
    converged: false,
    reason: 'line-search',
  });
});

test('steps back from where the function is not finite', async () => {
  // −log x + x on x > 0, started far to the left, where the first steps leap beyond zero.
  const barrier: Objective = ([x = NaN]) =>
    Promise.resolve({ loss: x > 0 ? x - Math.log(x) : Infinity, gradient: Float64Array.of(1 - 1 / x) });
  const { x, converged } = await minimizeLbfgs(barrier, Float64Array.of(0.001));
  expect(converged).toBe(true);
  expect(x[0]).toBeCloseTo(1, 4);
});

test('refuses an objective that is not finite at the start', async () => {
  const broken: Objective = () => Promise.resolve({ loss: NaN, gradient: Float64Array.of(1) });
  await expect(minimizeLbfgs(broken, Float64Array.of(0))).rejects.toThrow(RangeError);
});

test('an aborted signal stops it with the reason given', async () => {
  const controller = new AbortController();
  const { objective, calls } = rosenbrock();
  const run = minimizeLbfgs(objective, START, {
    signal: controller.signal,
    onIteration: ({ iteration }) => {
      if (iteration === 2) controller.abort(new Error('enough'));
    },
  });
  await expect(run).rejects.toThrow('enough');
  expect(calls()).toBeLessThan(10);
});
