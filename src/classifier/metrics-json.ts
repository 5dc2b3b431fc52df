import type { EvaluationResult, JsonValue } from '../head/index.js';

/** An evaluation as JSON holds it: the confusion matrix as rows, true classes down and predicted ones across. */
export function metricsJson({
  confusion,
  topK,
  perClass,
  calibration,
  unknown,
  ...figures
}: EvaluationResult): JsonValue {
  return {
    ...figures,
    topK: { ...topK },
    calibration: { ...calibration, bins: calibration.bins.map((bin) => ({ ...bin })) },
    perClass: perClass.map((metrics) => ({ ...metrics })),
    confusion: confusion.to2DArray(),
    unknown: unknown.map((each) => ({ ...each })),
  };
}
