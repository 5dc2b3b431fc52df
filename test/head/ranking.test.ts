import { averagePrecision, bestThreshold } from '../../src/head/metrics.js';
import { uniform } from './data.js';

const random = uniform(5);
/** Eight distinct scores of forty rows. */
const SCORES = Float64Array.from({ length: 40 }, () => Math.floor(8 * random()) / 8);
const IS_POSITIVE = Uint8Array.from({ length: 40 }, () => (random() < 0.4 ? 1 : 0));

// Expected: scikit-learn 1.9, average_precision_score and f1_score at each score, on the same numbers.
test('average precision and the best threshold are scikit-learn’s, equal scores among them', () => {
  expect(averagePrecision(SCORES, IS_POSITIVE)).toBeCloseTo(0.5104561031285169, 14);
  // F1 is 0.68966 at 1/8, 0.68852 at 0 and 0.64 at 2/8: half way between 1/8 and 0.
  expect(bestThreshold(SCORES, IS_POSITIVE)).toBe(1 / 16);
});

test('a label that no row has gives no average precision, and its threshold stays ½', () => {
  expect(averagePrecision(SCORES, new Uint8Array(40))).toBeNull();
  expect(bestThreshold(SCORES, new Uint8Array(40))).toBe(0.5);
});
