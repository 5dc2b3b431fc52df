import type { TrainedHead } from '../classifier/index.js';
import type { Baselines, CurvePoint, HeldOutResult, TrainingReport } from '../head/index.js';
import { describeEvaluation } from './evaluation.js';
import { interval, percent, table } from './terminal.js';

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
export function withViews(views: number): string {
  return views > 0 ? `, and ${views} further views of them` : '';
}

/** Whether the optimiser came to its end. */
export function describeFit({ converged, iterations, loss, gradientNorm, reason }: TrainingReport): string {
  return converged
    ? `  converged in ${iterations} iterations: loss ${loss.toFixed(4)}, gradient ${gradientNorm.toExponential(1)}`
    : `  NOT converged after ${iterations} iterations (${reason}): gradient ${gradientNorm.toExponential(1)}`;
}

/** Where the pictures come from that a head was judged on. */
export function validatedOnName(from: TrainedHead['validatedOn'], folds: number): string {
  return {
    'validation split': 'validation split',
    'held-out part': 'held-out part',
    'cross-validation': `new pictures, by ${folds}-fold cross-validation`,
    nothing: '',
  }[from];
}

/** Which pictures were left out; '' where none was. */
export function describeUnused({ failed, unlabelled, test }: TrainedHead['unused']): string {
  const left = [
    [failed, 'unreadable'],
    [unlabelled, 'without a label'],
    [test, 'of the test split'],
  ] as const;
  const shown = left.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`);
  return shown.length > 0 ? `\npictures left out: ${shown.join(', ')}` : '';
}

/** How the λ did that were tried. @param right what the part of right rows is called */
export function describePath(
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
export function describeTemperature(
  temperature: number,
  before: number | null,
  after: number | null,
): string {
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
export function curveTable(
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
