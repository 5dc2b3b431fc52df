import type { JsonValue } from '../head/index.js';
import { metricsJson } from './metrics-json.js';
import type { TrainedHead } from './train.js';

/** What was measured in training as JSON holds it: a head's `metrics`. */
export function trainingJson(
  trained: Pick<
    TrainedHead,
    'train' | 'validation' | 'validatedOn' | 'crossValidation' | 'baselines' | 'learningCurve'
  >,
): { [key: string]: JsonValue } {
  const { train, validation, validatedOn, crossValidation, baselines, learningCurve } = trained;
  return {
    train: metricsJson(train),
    validation: validation ? metricsJson(validation) : null,
    validatedOn,
    crossValidation: crossValidation ? crossValidationJson(crossValidation) : null,
    baselines: baselines
      ? {
          nearestCentroid: { ...baselines.nearestCentroid },
          nearestNeighbours: { ...baselines.nearestNeighbours },
        }
      : null,
    learningCurve: learningCurve?.map((point) => ({ ...point })) ?? null,
  };
}

function crossValidationJson(found: NonNullable<TrainedHead['crossValidation']>): JsonValue {
  const { folds, rule, path, chosen, rows, neverHeld, temperature, unknown, evaluation, uncalibrated } =
    found;
  return {
    folds,
    rule: rule ?? null,
    path: path.map((point) => ({ ...point })),
    chosen: { ...chosen },
    rows,
    neverHeld,
    temperature,
    unknown: unknown ? { ...unknown } : null,
    uncalibrated: { ...uncalibrated },
    outOfFold: metricsJson(evaluation),
  };
}
