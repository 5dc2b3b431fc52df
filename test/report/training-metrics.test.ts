import { trainingMetrics } from '../../src/report/evaluate.js';
import { madeUpHead } from '../support/made-up-head.js';

const head = madeUpHead({ id: 'network@0123456789ab', transformId: 'v1', width: 4 });
const baseline = { accuracy: 0.5, accuracyInterval: [0.25, 0.75], count: 8 };
const written = {
  baselines: {
    mostCommon: { label: 'a', logLoss: 0.7, wins: 3, losses: 1, pValue: 0.3, ...baseline },
    nearestCentroid: baseline,
    nearestNeighbours: { k: 10, ...baseline },
  },
  learningCurve: [{ share: 1, rows: 8, accuracy: 0.5, accuracyInterval: null }],
  crossValidation: {
    folds: 5,
    path: [{ l2: 1, logLoss: 0.5, standardError: 0.1, accuracy: 0.5 }],
    unknown: { rate: 0.05, flaggedRight: 0.04, flaggedWrong: null },
  },
};

test('the report takes the metrics that train-head writes, whole', () => {
  expect(trainingMetrics(head.with({ metrics: written }))).toEqual({
    ...written,
    unknown: written.crossValidation.unknown,
  });
});

test.each([
  ['no metrics', null],
  ['text', 'good'],
  ['other shapes', { baselines: 3, learningCurve: [1], crossValidation: { path: 'steep', unknown: 'none' } }],
  [
    'text for numbers',
    {
      baselines: { ...written.baselines, nearestCentroid: { ...baseline, accuracy: 'half' } },
      learningCurve: [{ ...written.learningCurve[0], rows: '8' }],
      crossValidation: {
        path: [{ l2: 'one', logLoss: 0.5, standardError: 0.1, accuracy: 0.5 }],
        unknown: { flaggedRight: '5 %', flaggedWrong: 0 },
      },
    },
  ],
])('of a head with %s it leaves them out', (_, metrics) => {
  const nothing = { baselines: null, learningCurve: null, crossValidation: null, unknown: null };
  expect(trainingMetrics(head.with({ metrics }))).toEqual(nothing);
});
