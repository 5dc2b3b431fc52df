import type { TrainedHead, TrainedMultilabelHead } from '../classify/train.js';
import type { Baselines } from '../head/baselines.js';
import type { TrainingReport } from '../head/head.js';
import type { CurvePoint } from '../head/learning-curve.js';
import type { EvaluationResult, MultilabelResult } from '../head/metrics.js';
import type { HeldOutResult } from '../head/tune.js';
import { graded, interval, number, percent, styled, table } from './terminal.js';

/** What training gave, for people to read. */
export function describeTraining(trained: TrainedHead): string {
  const { head, dataset, views, train, validation, validatedOn, crossValidation, unused } = trained;
  const { labels, width } = head;
  const lines = [
    `${dataset.dataset}, embedded by ${dataset.model_id}`,
    `Linear(${width}, ${labels.length}) trained on ${train.count} pictures of ${labels.length} classes${withViews(views)}`,
    describeFit(head.training),
    crossValidation?.rule ? describePath(crossValidation, train.count, 'accuracy') : `  λ ${head.l2}`,
  ];
  if (crossValidation) lines.push(...describeCalibration(crossValidation));
  lines.push(describeEvaluation('training', train, { perClass: !validation }));
  if (validation) {
    const on = validatedOnName(validatedOn, crossValidation?.folds ?? 0);
    lines.push(describeEvaluation(on, validation, { perClass: true }));
  } else {
    lines.push('\nNothing was kept to judge by, so how good the head is on new pictures is not known.');
  }
  if (trained.baselines) lines.push(describeBaselines(trained.baselines));
  if (trained.learningCurve) lines.push(describeCurve(trained.learningCurve));
  const left = describeUnused(unused);
  if (left !== '') lines.push(left);
  return lines.join('\n');
}

/** How many further views were learnt from, where there were any. */
function withViews(views: number): string {
  return views > 0 ? `, and ${views} further views of them` : '';
}

/** Whether the optimiser came to its end. */
function describeFit({ converged, iterations, loss, gradientNorm, reason }: TrainingReport): string {
  return converged
    ? `  converged in ${iterations} iterations: loss ${loss.toFixed(4)}, gradient ${gradientNorm.toExponential(1)}`
    : `  NOT converged after ${iterations} iterations (${reason}): gradient ${gradientNorm.toExponential(1)}`;
}

/** Where the pictures come from that a head was judged on. */
function validatedOnName(from: TrainedHead['validatedOn'], folds: number): string {
  return {
    'validation split': 'validation split',
    'held-out part': 'held-out part',
    'cross-validation': `new pictures, by ${folds}-fold cross-validation`,
    nothing: '',
  }[from];
}

/** Which pictures were left out; '' where none was. */
function describeUnused({ failed, unlabelled, test }: TrainedHead['unused']): string {
  const left = [
    [failed, 'unreadable'],
    [unlabelled, 'without a label'],
    [test, 'of the test split'],
  ] as const;
  const shown = left.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`);
  return shown.length > 0 ? `\npictures left out: ${shown.join(', ')}` : '';
}

/** How the λ did that were tried. @param right what the part of right rows is called */
function describePath(
  { folds, rule, path, chosen, rows }: Pick<HeldOutResult, 'folds' | 'rule' | 'path' | 'chosen' | 'rows'>,
  trained: number,
  right: string,
): string {
  const points = path.map((point) => [
    `  ${point === chosen ? '→' : ' '} ${point.l2}`,
    `${point.logLoss.toFixed(3)} ± ${point.standardError.toFixed(3)}`,
    percent(point.accuracy),
  ]);
  const how =
    rule === 'best' ? 'the least log loss' : 'the largest within one standard error of the least log loss';
  const of = rows < trained ? ` of ${rows} pictures` : '';
  return [
    `  λ ${chosen.l2}, ${how} in ${folds}-fold cross-validation${of}:`,
    table([['    λ', 'log loss', right], ...points]),
  ].join('\n');
}

/** @param before calibration error without it @param after and with it */
function describeTemperature(temperature: number, before: number | null, after: number | null): string {
  return `  temperature ${temperature.toFixed(2)}: calibration error ${percent(before)} without, ${percent(after)} with it`;
}

function describeCalibration({
  temperature,
  unknown,
  evaluation,
  uncalibrated,
  neverHeld,
}: HeldOutResult): string[] {
  const lines = [describeTemperature(temperature, uncalibrated.ece, evaluation.calibration.ece)];
  if (unknown) {
    lines.push(
      `  unknown below ${unknown.threshold.toFixed(2)} of likeness to a class: of right answers ${percent(1 - unknown.keptRight)} are, of wrong ` +
        `ones ${percent(unknown.flaggedWrong)}`,
    );
  }
  if (neverHeld > 0) {
    lines.push(
      `  ${neverHeld} pictures of classes in a single group could not be left out, so not be judged`,
    );
  }
  return lines;
}

function describeBaselines({ nearestCentroid, nearestNeighbours }: Baselines): string {
  return (
    `to compare, without training: nearest class mean ${percent(nearestCentroid.accuracy)}, ` +
    `${nearestNeighbours.k} nearest neighbours ${percent(nearestNeighbours.accuracy)}`
  );
}

function describeCurve(points: readonly CurvePoint[]): string {
  const rows = points.map((point) => [percent(point.accuracy), interval(point.accuracyInterval)]);
  return curveTable('accuracy', points, ['accuracy', '95 % interval'], rows);
}

/** A learning curve as a table. @param figures of each point, under their names */
function curveTable(
  what: string,
  points: readonly { share: number; rows: number }[],
  names: readonly string[],
  figures: readonly (readonly string[])[],
): string {
  const rows = points.map(({ share, rows: pictures }, i) => [
    `  ${(100 * share).toFixed(0)} %`,
    String(pictures),
    ...(figures[i] ?? []),
  ]);
  return [
    `\nlearning curve: if ${what} still rises at the end, more pictures will help`,
    table([['  share', 'pictures', ...names], ...rows]),
  ].join('\n');
}

/** Labels up to which all are shown, and how many are where there are more. */
const LABELS_UP_TO = 20;
const HARDEST_LABELS = 10;

/** What the training of a multilabel head gave, for people to read. */
export function describeMultilabelTraining(trained: TrainedMultilabelHead): string {
  const { head, dataset, views, train, validation, validatedOn, crossValidation, unused } = trained;
  const { labels, width, thresholds } = head;
  const lines = [
    `${dataset.dataset}, embedded by ${dataset.model_id}`,
    `Linear(${width}, ${labels.length}) trained on ${train.count} pictures with any number of ${labels.length} labels${withViews(views)}`,
    describeFit(head.training),
    crossValidation?.rule ? describePath(crossValidation, train.count, 'all right') : `  λ ${head.l2}`,
  ];
  if (crossValidation) {
    const { temperature, uncalibrated, evaluation } = crossValidation;
    lines.push(describeTemperature(temperature, uncalibrated.ece, evaluation.calibration.ece));
  }
  if (crossValidation && crossValidation.neverHeld > 0) {
    lines.push(`  ${crossValidation.neverHeld} pictures could not be left out, so not be judged`);
  }
  const show = { ...(thresholds && { thresholds }) };
  lines.push(describeMultilabel('training', train, validation ? {} : { perLabel: true, ...show }));
  if (validation) {
    const on = validatedOnName(validatedOn, crossValidation?.folds ?? 0);
    lines.push(describeMultilabel(on, validation, { perLabel: true, ...show }));
  } else {
    lines.push('\nNothing was kept to judge by, so how good the head is on new pictures is not known.');
  }
  if (trained.baselines) {
    const { k, nearestNeighbours, chance } = trained.baselines;
    lines.push(
      `to compare, without training: mAP of ${k} nearest neighbours ${percent(nearestNeighbours)}, of chance ${percent(chance)}`,
    );
  }
  if (trained.learningCurve) {
    const figures = trained.learningCurve.map(({ meanAveragePrecision }) => [percent(meanAveragePrecision)]);
    lines.push(curveTable('mAP', trained.learningCurve, ['mAP'], figures));
  }
  const left = describeUnused(unused);
  if (left !== '') lines.push(left);
  return lines.join('\n');
}

/** An evaluation of a multilabel head in words and figures. */
export function describeMultilabel(
  name: string,
  result: MultilabelResult,
  show: { perLabel?: boolean | undefined; thresholds?: readonly number[] | undefined },
): string {
  const { count, meanAveragePrecision, macroF1, microF1, subsetAccuracy, logLoss, perLabel, unknown } =
    result;
  const lines = [
    `\n${name}: mAP ${styled('bold', percent(meanAveragePrecision))} of ${count}`,
    `  macro F1 ${percent(macroF1)}, micro F1 ${percent(microF1)}, all labels right ${percent(subsetAccuracy)}, log loss ` +
      `${number(logLoss)}, calibration error ${percent(result.calibration.ece)}`,
  ];
  if (show.perLabel) {
    const numbered = perLabel.map((metrics, n) => ({ ...metrics, threshold: show.thresholds?.[n] ?? null }));
    const all = numbered.length <= LABELS_UP_TO;
    const hardest = numbered
      .toSorted((a, b) => (a.averagePrecision ?? 1) - (b.averagePrecision ?? 1))
      .slice(0, HARDEST_LABELS);
    if (!all) {
      lines.push(
        `  the ${HARDEST_LABELS} of ${numbered.length} labels with the lowest average precision; --json has all`,
      );
    }
    const rows = (all ? numbered : hardest).map((label) => [
      `  ${label.label}`,
      graded(percent(label.averagePrecision), label.averagePrecision),
      number(label.threshold),
      ...[label.precision, label.recall, label.f1].map((share) => graded(percent(share), share)),
      String(label.support),
    ]);
    const head = ['  label', 'AP', 'threshold', 'precision', 'recall', 'F1', 'pictures'];
    lines.push(table([head, ...rows]));
  }
  if (unknown.length > 0) {
    const labels = unknown.map(({ label, count: n }) => `${label} ${n}`).join(', ');
    lines.push(`not counted, labels that the head does not know: ${labels}`);
  }
  return lines.join('\n');
}

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
  show: { perClass?: boolean | undefined; confusion?: boolean | undefined; topK?: boolean | undefined },
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
