import type { TrainedHead } from '../classify/train.js';
import type { TrainingReport } from '../head/head.js';
import type { CurvePoint } from '../head/learning-curve.js';
import type { EvaluationResult, MultilabelResult } from '../head/metrics.js';
import { type Baselines, isClearlyBetter, type MultilabelBaselines } from '../head/task.js';
import type { HeldOutResult } from '../head/train.js';
import { interval, percent, quantity } from '../util/format.js';
import { columnsOf, graded, number, styled, table, widthOf } from './terminal.js';

type Result = EvaluationResult | MultilabelResult;

/** The result of a training as text. */
export function describeTraining(trained: TrainedHead): string {
  const { head, dataset, views, train, validation, validatedOn, crossValidation, baselines, unused } = trained;
  const { labels, width, thresholds } = head;
  const on =
    trained.kind === 'softmax'
      ? `of ${quantity(labels.length, 'class', 'classes')}`
      : `with any number of ${quantity(labels.length, 'label')}`;
  const lines = [
    ...verdict(baselines),
    `${dataset.dataset}, embedded by ${dataset.model_id}`,
    `Linear(${width}, ${labels.length}) trained on ${quantity(train.count, 'picture')} ${on}` +
      (views > 0 ? `, and ${quantity(views, 'augmented view')} of them` : ''),
    describeFit(head.training),
    crossValidation?.rule ? describePath(crossValidation, train) : `  λ ${head.l2}`,
  ];
  if (crossValidation) lines.push(...describeCalibration(crossValidation));
  lines.push(describeEvaluation('training', train, { perLabel: !validation, thresholds }));
  if (validation) {
    const name =
      validatedOn === 'cross-validation'
        ? `new pictures, by ${crossValidation?.folds ?? 0}-fold cross-validation`
        : validatedOn;
    lines.push(describeEvaluation(name, validation, { perLabel: true, thresholds }));
  } else {
    lines.push('\nNo pictures were held out, so how good the head is on new ones is unknown.');
  }
  if (baselines) lines.push(describeBaselines(baselines));
  if (trained.learningCurve) lines.push(describeCurve(trained.learningCurve));
  const left = [
    [unused.failed, 'unreadable'],
    [unused.unlabelled, 'without a label'],
    [unused.test, 'of the test split'],
  ] as const;
  const shown = left.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`);
  if (shown.length > 0) lines.push(`\npictures not used: ${shown.join(', ')}`);
  return lines.join('\n');
}

/** Says so if the head is not clearly better than one that never looks at the pictures. */
function verdict(baselines: Baselines | MultilabelBaselines | undefined): string[] {
  if (!baselines || !('mostCommon' in baselines) || isClearlyBetter(baselines)) return [];
  const { label, accuracy, wins, losses } = baselines.mostCommon;
  const text =
    `NOT clearly better than always answering ${JSON.stringify(label)}, which is right for ${percent(accuracy)}: of the pictures ` +
    `where just one of the two is right, the head is on ${wins} and that on ${losses}. Try --class-weights balanced, more ` +
    `pictures of the other classes, or another backbone.`;
  return [`${styled('red', text)}\n`];
}

function describeFit({ converged, iterations, loss, gradientNorm, reason }: TrainingReport): string {
  return converged
    ? `  converged in ${quantity(iterations, 'iteration')}: loss ${loss.toFixed(4)}, gradient ${gradientNorm.toExponential(1)}`
    : `  NOT converged after ${quantity(iterations, 'iteration')} (${reason}): gradient ${gradientNorm.toExponential(1)}`;
}

/** How the λ did that were tried. */
function describePath({ folds, rule, path, givenUp, chosen, rows }: HeldOutResult<Result>, train: Result): string {
  const points = path.map((point) => [
    `  ${point === chosen ? '→' : ' '} ${point.l2}`,
    `${point.logLoss.toFixed(3)} ± ${point.standardError.toFixed(3)}`,
    percent(point.accuracy),
  ]);
  const how = rule === 'best' ? 'the least log loss' : 'the largest within one standard error of the least log loss';
  const of = rows < train.count ? ` of ${quantity(rows, 'picture')}` : '';
  return [
    `  λ ${chosen.l2}, ${how} in ${folds}-fold cross-validation${of}:`,
    table([['    λ', 'log loss', 'perLabel' in train ? 'all right' : 'accuracy'], ...points]),
    ...(givenUp.length > 0 ? [`    no better: ${givenUp.join(', ')}`] : []),
  ].join('\n');
}

function describeCalibration(found: HeldOutResult<Result>): string[] {
  const { temperature, unknown, evaluation, uncalibrated, neverHeld } = found;
  const lines: string[] = [];
  if (temperature !== 1) {
    lines.push(
      `  temperature ${temperature.toFixed(2)}: calibration error ${percent(uncalibrated.ece)} without, ` +
        `${percent(evaluation.calibration.ece)} with it`,
    );
  }
  if (unknown && unknown.rate !== 'off') {
    lines.push(
      `  unlike the training pictures below a typicality of ${unknown.rate}: ${percent(unknown.flaggedRight)} of right ` +
        `predictions and ${percent(unknown.flaggedWrong)} of wrong ones`,
    );
  }
  if (neverHeld > 0) {
    lines.push(
      `  never held out, so not scored: ${quantity(neverHeld, 'picture')} whose class or label is in no other group`,
    );
  }
  return lines;
}

function describeBaselines(baselines: Baselines | MultilabelBaselines): string {
  const simple =
    'chance' in baselines
      ? `mAP of ${baselines.k} nearest neighbours ${percent(baselines.nearestNeighbours)}, of chance ${percent(baselines.chance)}`
      : `always ${JSON.stringify(baselines.mostCommon.label)} ${percent(baselines.mostCommon.accuracy)} (log loss of the classes' ` +
        `shares ${number(baselines.mostCommon.logLoss)}), nearest class mean ${percent(baselines.nearestCentroid.accuracy)}, ` +
        `${baselines.nearestNeighbours.k} nearest neighbours ${percent(baselines.nearestNeighbours.accuracy)}`;
  return `for comparison, without training: ${simple}`;
}

function describeCurve(points: readonly CurvePoint[]): string {
  const isMap = points.some(({ meanAveragePrecision }) => meanAveragePrecision !== undefined);
  const [name, columns] = isMap ? ['mAP', ['mAP']] : ['accuracy', ['accuracy', '95 % interval']];
  const rows = points.map(({ share, rows: pictures, accuracy, accuracyInterval, meanAveragePrecision }) => [
    `  ${(100 * share).toFixed(0)} %`,
    String(pictures),
    ...(isMap
      ? [percent(meanAveragePrecision ?? null)]
      : [percent(accuracy ?? null), interval(accuracyInterval ?? null)]),
  ]);
  return [
    `\nlearning curve: if ${name} still rises at the end, more pictures will help`,
    table([['  share', 'pictures', ...columns], ...rows]),
  ].join('\n');
}

/** All labels are shown up to this number; if there are more, only the hardest. */
const LABELS_UP_TO = 20;
const HARDEST = 10;

/** How wide a confusion matrix may be where the output is no terminal. */
const USUAL_COLUMNS = 120;

/** The most frequent confusions, listed where the matrix is too wide. */
const CONFUSIONS = 10;

/** Up to a quarter, a half, three quarters and all of a row. */
const SHADES = ['░', '▒', '▓', '█'];

export interface ShownParts {
  /** The table of classes or labels. */
  perLabel?: boolean | undefined;
  /** The thresholds of a multilabel head. */
  thresholds?: readonly number[] | null | undefined;
  confusion?: boolean | undefined;
  topK?: boolean | undefined;
}

/** An evaluation as text. */
export function describeEvaluation(name: string, result: Result, show: ShownParts): string {
  const { headline, figures, columns, labels, noun, sortedBy } = summaryOf(result, show);
  const lines = [`\n${name}: ${headline}`];
  if (figures !== '') lines.push(`  ${figures}`);
  if (show.perLabel) {
    const all = labels.length <= LABELS_UP_TO;
    const hardest = labels.toSorted((a, b) => (a.score ?? 1) - (b.score ?? 1)).slice(0, HARDEST);
    if (!all) {
      lines.push(`  the ${HARDEST} of ${labels.length} ${noun} with the lowest ${sortedBy}; --json has all`);
    }
    lines.push(table([columns, ...(all ? labels : hardest).map(({ cells }) => cells)]));
  }
  if (show.confusion && 'confusion' in result) lines.push('', describeConfusion(result));
  if (result.unknown.length > 0) {
    const counts = result.unknown.map(({ label, count }) => `${label} ${count}`).join(', ');
    lines.push(`not counted, ${noun} that the head does not know: ${counts}`);
  }
  return lines.join('\n');
}

/** What the text shows of an evaluation. */
interface Summary {
  headline: string;
  figures: string;
  columns: string[];
  labels: { score: number | null; cells: string[] }[];
  noun: 'classes' | 'labels';
  sortedBy: string;
}

function summaryOf(result: Result, { perLabel, thresholds, topK }: ShownParts): Summary {
  const { count, macroF1, logLoss, calibration } = result;
  const shares = (...values: (number | null)[]) => values.map((value) => graded(percent(value), value));
  const losses = `log loss ${number(logLoss)}, calibration error ${percent(calibration.ece)}`;
  if ('perLabel' in result) {
    return {
      headline: `mAP ${styled('bold', percent(result.meanAveragePrecision))} of ${count}`,
      figures:
        `macro F1 ${percent(macroF1)}, micro F1 ${percent(result.microF1)}, all labels right ` +
        `${percent(result.subsetAccuracy)}, ${losses}`,
      columns: ['  label', 'AP', 'threshold', 'precision', 'recall', 'F1', 'pictures'],
      labels: result.perLabel.map(({ label, averagePrecision, precision, recall, f1, support }, n) => ({
        score: averagePrecision,
        cells: [
          `  ${label}`,
          ...shares(averagePrecision),
          number(thresholds?.[n] ?? null),
          ...shares(precision, recall, f1),
          String(support),
        ],
      })),
      noun: 'labels',
      sortedBy: 'average precision',
    };
  }
  const best = result.topK;
  return {
    headline:
      `accuracy ${styled('bold', percent(result.accuracy))} of ${count}` +
      (perLabel ? `, 95 % interval ${interval(result.accuracyInterval)}` : `, log loss ${number(logLoss)}`),
    figures: perLabel
      ? `balanced accuracy ${percent(result.balancedAccuracy)}, macro F1 ${percent(macroF1)}` +
        (topK && best.k < result.perClass.length ? `, top-${best.k} ${percent(best.accuracy)}` : '') +
        `, ${losses}`
      : '',
    columns: ['  class', 'precision', 'recall', 'F1', 'pictures'],
    labels: result.perClass.map(({ label, precision, recall, f1, support }) => ({
      score: f1,
      cells: [`  ${label}`, ...shares(precision, recall, f1), String(support)],
    })),
    noun: 'classes',
    sortedBy: 'F1',
  };
}

/** The confusion matrix or, where that is too wide even with numbers for the classes, the most frequent confusions. */
function describeConfusion({ confusion, perClass }: EvaluationResult): string {
  const counts = confusion.to2DArray();
  const names = perClass.map(({ label }) => label);
  const columns = columnsOf(process.stdout) ?? USUAL_COLUMNS;
  // A blank and a count each.
  if (2 * names.length > columns) return describeConfusions(counts, names);
  const heading = 'confusion matrix: true classes down, predicted ones across';
  const cells = counts.map(shaded);
  const named = table([['', ...names], ...cells.map((row, i) => [`  ${names[i]!}`, ...row])], { width: Infinity });
  if (widthOf(named) <= columns) return `${heading}\n${named}`;
  const numbers = names.map((_, i) => String(i + 1));
  const digits = numbers.at(-1)?.length ?? 0;
  const rows = cells.map((row, i) => [`  ${numbers[i]!.padStart(digits)} ${names[i]!}`, ...row]);
  const numbered = table([['', ...numbers], ...rows], { gap: 1, width: Infinity });
  if (widthOf(numbered) <= columns) return `${heading}, by number\n${numbered}`;
  return describeConfusions(counts, names);
}

function describeConfusions(counts: readonly number[][], names: readonly string[]): string {
  const confusions = counts
    .flatMap((row, i) => row.map((count, j) => ({ from: names[i]!, to: names[j]!, count, isRight: i === j })))
    .filter(({ count, isRight }) => count > 0 && !isRight)
    .sort((a, b) => b.count - a.count);
  if (confusions.length === 0) return 'no class is taken for another';
  const shown = confusions.slice(0, CONFUSIONS);
  const which = shown.length < confusions.length ? `, the ${CONFUSIONS} most frequent of ${confusions.length}` : '';
  return [
    `confusions${which}: true class → predicted one; --json and report have the whole matrix`,
    table(shown.map(({ from, to, count }) => [`  ${from} → ${to}`, String(count)])),
  ].join('\n');
}

/** Counts, each with a shade for its share of the row: a character, so that it shows in files and without colour too. */
function shaded(row: readonly number[], own: number): string[] {
  const total = row.reduce((sum, n) => sum + n, 0);
  return row.map((n, j) => {
    if (n === 0) return styled('dim', '·');
    const shade = SHADES[Math.ceil((SHADES.length * n) / total) - 1] ?? '';
    return styled(j === own ? 'blue' : 'red', `${shade} ${n}`);
  });
}
