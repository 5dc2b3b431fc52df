import { describeEvaluation } from '../../src/cli/describe.js';
import { Evaluation } from '../../src/head/metrics.js';

test('the confusion matrix is shaded by the part of its row, without any colour codes', () => {
  const evaluation = new Evaluation(['ant', 'bee']);
  for (const [label, p] of [[0, 0.9], [0, 0.8], [0, 0.7], [0, 0.2], [1, 0.1]] as const) evaluation.add(label, [p, 1 - p]); // prettier-ignore
  const text = describeEvaluation('test', evaluation.result(), { confusion: true });
  expect(text).toMatch(/\n {2}ant +▓ 3 +░ 1\n {2}bee +· +█ 1$/);
  expect(text).not.toContain('\u001b');
});

describe('confusions of many classes', () => {
  /** Every picture is of its class, but for some of class 1, called class 0, and fewer of class 2, called the last one. */
  function confusionsOf(names: readonly string[]): string[] {
    const evaluation = new Evaluation(names);
    const add = (label: number, predicted: number) => {
      evaluation.add(
        label,
        names.map((_, i) => (i === predicted ? 1 : 0)),
      );
    };
    for (const [label] of names.entries()) for (let i = 0; i < 40; i++) add(label, label);
    for (let i = 0; i < 5; i++) add(1, 0);
    for (let i = 0; i < 3; i++) add(2, names.length - 1);
    return describeEvaluation('test', evaluation.result(), { confusion: true }).trim().split('\n').slice(2);
  }
  const namesOf = (count: number) => Array.from({ length: count }, (_, i) => `english_springer_${i}`);

  test('are numbered where their names make the matrix too wide', () => {
    const [heading, numbers, , second, third, ...lines] = confusionsOf(namesOf(10));
    expect(heading).toBe('confusion matrix: true classes down, predicted ones across, by number');
    expect(numbers).toMatch(/^ +1( +\d)+ +10$/);
    expect(second).toMatch(/^ {3}2 english_springer_1 +░ 5 +█ 40( +·){8}$/);
    expect(third).toMatch(/^ {3}3 english_springer_2 +· +· +█ 40( +·){6} +░ 3$/);
    expect(lines.at(-1)).toMatch(/^ {2}10 english_springer_9( +·){9} +█ 40$/);
    // On a terminal of the usual width.
    expect(Math.max(...[second, third, ...lines].map((line) => line?.length ?? 0))).toBeLessThanOrEqual(80);
  });

  test('are listed where that is too wide, the most frequent first', () => {
    expect(confusionsOf(namesOf(40))).toEqual([
      'confusions: true class → predicted one; --json and report have the whole matrix',
      '  english_springer_1 → english_springer_0   5',
      '  english_springer_2 → english_springer_39  3',
    ]);
  });
});
