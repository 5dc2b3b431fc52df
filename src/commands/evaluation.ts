import type { EvaluationResult } from '../head/index.js';
import { percent, table } from './terminal.js';

/** Classes up to which a confusion matrix is printed. */
const CONFUSION_UP_TO = 12;

/** An evaluation in words and figures. */
export function describeEvaluation(
  name: string,
  { count, accuracy, topK, logLoss, macroF1, perClass, confusion, unknown }: EvaluationResult,
  show: { perClass?: boolean; confusion?: boolean; topK?: boolean },
): string {
  const lines = [
    `\n${name}: accuracy ${percent(accuracy)} of ${count}` +
      (show.topK && topK.k < perClass.length ? `, top-${topK.k} ${percent(topK.accuracy)}` : '') +
      `, log loss ${logLoss?.toFixed(3) ?? '–'}` +
      (show.perClass ? `, macro F1 ${percent(macroF1)}` : ''),
  ];
  if (show.perClass) {
    const rows = perClass.map(({ label, precision, recall, f1, support }) => [
      `  ${label}`,
      percent(precision),
      percent(recall),
      percent(f1),
      String(support),
    ]);
    lines.push(table([['  class', 'precision', 'recall', 'F1', 'pictures'], ...rows]));
  }
  if (show.confusion && perClass.length <= CONFUSION_UP_TO) {
    const labels = perClass.map(({ label }) => label);
    const rows = confusion.to2DArray().map((row, i) => [`  ${labels[i] ?? ''}`, ...row.map(String)]);
    lines.push('', 'confusion: true classes down, predicted ones across', table([['', ...labels], ...rows]));
  }
  if (unknown.length > 0) {
    const classes = unknown.map(({ label, count: n }) => `${label} ${n}`).join(', ');
    lines.push(`not counted, of classes that the head does not know: ${classes}`);
  }
  return lines.join('\n');
}
