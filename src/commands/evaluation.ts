import type { EvaluationResult } from '../head/index.js';
import { graded, styled } from './colour.js';
import { interval, number, percent, table } from './terminal.js';

/** Classes up to which a confusion matrix is printed. */
const CONFUSION_UP_TO = 12;

/** Up to a quarter, a half, three quarters and all of a row. */
const SHADES = ['░', '▒', '▓', '█'];

/** Classes up to which all are shown, and how many are where there are more. */
const CLASSES_UP_TO = 20;
const HARDEST = 10;

/** An evaluation in words and figures. */
export function describeEvaluation(
  name: string,
  result: EvaluationResult,
  show: { perClass?: boolean; confusion?: boolean; topK?: boolean },
): string {
  const { count, accuracy, accuracyInterval, balancedAccuracy, topK, logLoss, calibration } = result;
  const { macroF1, perClass, confusion, unknown } = result;
  const lines = [
    `\n${name}: accuracy ${styled('bold', percent(accuracy))} of ${count}` +
      (show.perClass ? `, 95 % interval ${interval(accuracyInterval)}` : `, log loss ${number(logLoss)}`),
  ];
  if (show.perClass) {
    lines.push(
      `  balanced accuracy ${percent(balancedAccuracy)}, macro F1 ${percent(macroF1)}` +
        (show.topK && topK.k < perClass.length ? `, top-${topK.k} ${percent(topK.accuracy)}` : '') +
        `, log loss ${number(logLoss)}, calibration error ${percent(calibration.ece)}`,
    );
  }
  if (show.perClass) {
    const all = perClass.length <= CLASSES_UP_TO;
    const hardest = perClass.toSorted((a, b) => (a.f1 ?? 1) - (b.f1 ?? 1)).slice(0, HARDEST);
    if (!all) lines.push(`  the ${HARDEST} of ${perClass.length} classes with the lowest F1; --json has all`);
    const rows = (all ? perClass : hardest).map(({ label, precision, recall, f1, support }) => [
      `  ${label}`,
      ...[precision, recall, f1].map((share) => graded(percent(share), share)),
      String(support),
    ]);
    lines.push(table([['  class', 'precision', 'recall', 'F1', 'pictures'], ...rows]));
  }
  if (show.confusion && perClass.length <= CONFUSION_UP_TO) {
    const labels = perClass.map(({ label }) => label);
    const rows = confusion.to2DArray().map((row, i) => [`  ${labels[i] ?? ''}`, ...shaded(row, i)]);
    lines.push('', 'confusion: true classes down, predicted ones across', table([['', ...labels], ...rows]));
  }
  if (unknown.length > 0) {
    const classes = unknown.map(({ label, count: n }) => `${label} ${n}`).join(', ');
    lines.push(`not counted, of classes that the head does not know: ${classes}`);
  }
  return lines.join('\n');
}

/** Counts with a shade for their part of the row, by characters: it shows in files and without colour too. */
function shaded(row: readonly number[], own: number): string[] {
  const total = row.reduce((sum, n) => sum + n, 0);
  return row.map((n, j) => {
    if (n === 0) return styled('dim', '·');
    const shade = SHADES[Math.ceil((SHADES.length * n) / total) - 1] ?? '';
    return styled(j === own ? 'blue' : 'red', `${shade} ${n}`);
  });
}
