import { bootstrapIntervals, mcnemarTest } from '../../src/head/paired.js';

// scipy 1.17: binomtest(min(fixed, broken), fixed + broken).pvalue
test.each([
  [9, 2, 0.0654296875],
  [2, 9, 0.0654296875],
  [1, 0, 1],
  [5, 5, 1],
  [30, 12, 0.007915897334896727],
  [0, 7, 0.015625],
  [0, 0, 1],
])('%d fixed and %d broken have the p-value of the exact test', (fixed, broken, expected) => {
  expect(mcnemarTest(fixed, broken)).toBeCloseTo(expected, 12);
});

const rows = Array.from({ length: 200 }, (_, i) => i);
const gains = Float64Array.from(rows, (i) => (i % 10 < 3 ? 1 : i % 10 === 3 ? -1 : 0));
const losses = Float64Array.from(rows, (i) => 0.5 * Math.sin(i * i) - 0.05);

test("the bootstrap's intervals are those of scipy, and the same each time", async () => {
  const found = await bootstrapIntervals([gains, losses]);
  // scipy.stats.bootstrap((x,), np.mean, n_resamples=200_000, method='percentile')
  const expected = [0.115, 0.28, -0.0963, 0.0009];
  // The ends of an interval by 2000 resamples vary by some 4 % of its width.
  expect(
    found.flatMap((bounds) => bounds ?? []).map((bound, i) => Math.abs(bound - (expected[i] ?? NaN)) < 0.012),
  ).toEqual(expected.map(() => true));
  expect(await bootstrapIntervals([gains, losses])).toEqual(found);
});

test('rows are drawn again together, so what is paired stays paired', async () => {
  const [interval] = await bootstrapIntervals([gains, losses]);
  expect((await bootstrapIntervals([losses, gains]))[1]).toEqual(interval);
});

test('values that are all alike have no interval', async () => {
  expect(await bootstrapIntervals([new Float64Array(5), new Float64Array(0)])).toEqual([null, null]);
});

test('a bootstrap of many rows can be stopped', async () => {
  const abort = new AbortController();
  const work = bootstrapIntervals([new Float64Array(100_000)], abort.signal);
  abort.abort(new Error('stopped'));
  await expect(work).rejects.toThrow('stopped');
});
