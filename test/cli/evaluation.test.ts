import { describeEvaluation } from '../../src/cli/describe.js';
import { Evaluation } from '../../src/head/metrics.js';

test('the confusion matrix is shaded by the part of its row, without any colour codes', () => {
  const evaluation = new Evaluation(['ant', 'bee']);
  for (const [label, p] of [[0, 0.9], [0, 0.8], [0, 0.7], [0, 0.2], [1, 0.1]] as const) evaluation.add(label, [p, 1 - p]); // prettier-ignore
  const text = describeEvaluation('test', evaluation.result(), { confusion: true });
  expect(text).toMatch(/\n {2}ant +▓ 3 +░ 1\n {2}bee +· +█ 1$/);
  expect(text).not.toContain('\u001b');
});
