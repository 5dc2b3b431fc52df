import type { JsonValue, MultilabelResult } from '../head/index.js';
import type { TrainedMultilabelHead } from './train-multilabel.js';

/** An evaluation of a multilabel head as JSON holds it. */
export function multilabelMetricsJson({
  perLabel,
  unknown,
  calibration,
  ...figures
}: MultilabelResult): JsonValue {
  return {
    ...figures,
    calibration: { ...calibration, bins: calibration.bins.map((bin) => ({ ...bin })) },
    perLabel: perLabel.map((metrics) => ({ ...metrics })),
    unknown: unknown.map((each) => ({ ...each })),
  };
}

/** What was measured in the training of a multilabel head as JSON holds it: the head's `metrics`. */
export function multilabelTrainingJson({
  train,
  validation,
  validatedOn,
  crossValidation,
  baselines,
  learningCurve,
}: Pick<
  TrainedMultilabelHead,
  'train' | 'validation' | 'validatedOn' | 'crossValidation' | 'baselines' | 'learningCurve'
>): {
  [key: string]: JsonValue;
} {
  return {
    train: multilabelMetricsJson(train),
    validation: validation ? multilabelMetricsJson(validation) : null,
    validatedOn,
    crossValidation: crossValidation
      ? {
          folds: crossValidation.folds,
          rule: crossValidation.rule ?? null,
          path: crossValidation.path.map((point) => ({ ...point })),
          chosen: { ...crossValidation.chosen },
          rows: crossValidation.rows,
          neverHeld: crossValidation.neverHeld,
          temperature: crossValidation.temperature,
          uncalibrated: { ...crossValidation.uncalibrated },
          outOfFold: multilabelMetricsJson(crossValidation.evaluation),
        }
      : null,
    baselines: baselines ? { ...baselines } : null,
    learningCurve: learningCurve?.map((point) => ({ ...point })) ?? null,
  };
}
