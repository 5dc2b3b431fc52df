import type { TrainedMultilabelHead } from '../classifier/index.js';
import type { MultilabelResult } from '../head/index.js';
import { graded, styled } from './colour.js';
import { number, percent, table } from './terminal.js';
import {
  curveTable,
  describeFit,
  describePath,
  describeTemperature,
  describeUnused,
  validatedOnName,
  withViews,
} from './training.js';

/** Labels up to which all are shown, and how many are where there are more. */
const LABELS_UP_TO = 20;
const HARDEST = 10;

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
  show: { perLabel?: boolean; thresholds?: readonly number[] },
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
      .slice(0, HARDEST);
    if (!all) {
      lines.push(
        `  the ${HARDEST} of ${numbered.length} labels with the lowest average precision; --json has all`,
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
