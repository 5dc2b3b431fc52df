import type { PathPoint } from '../head/cross-validate.js';
import type { Head } from '../head/head.js';
import type { CurvePoint } from '../head/learning-curve.js';
import type { Baseline } from '../head/task.js';
import type { JsonValue } from '../util/json.js';

/** What a head remembers of its training, as far as a report shows it; absent where the head, perhaps an older one, lacks it. */
export interface HeadMetrics {
  baselines?: { nearestCentroid: Baseline; nearestNeighbours: Baseline } | undefined;
  learningCurve?: CurvePoint[] | undefined;
  /** The learning curve of a head of any number of labels. */
  mapCurve?: CurvePoint[] | undefined;
  /** mAP of the nearest neighbours and of chance, beside a head of any number of labels. */
  neighboursMap?: number | undefined;
  chanceMap?: number | undefined;
  path?: PathPoint[] | undefined;
  folds?: number | undefined;
}

/** Reads the metrics that `train-head` wrote; what is not as expected is left out. */
export function metricsOf({ metrics }: Head): HeadMetrics {
  const found: HeadMetrics = {};
  const [centroid, neighbours] = ['nearestCentroid', 'nearestNeighbours'].map((name) =>
    baselineOf(field(field(metrics, 'baselines'), name)),
  );
  if (centroid && neighbours) found.baselines = { nearestCentroid: centroid, nearestNeighbours: neighbours };
  const curve = listOf(field(metrics, 'learningCurve'), (point): CurvePoint | undefined => {
    const [share, rows, baseline] = [numberOf(point, 'share'), numberOf(point, 'rows'), baselineOf(point)];
    if (share === undefined || rows === undefined || !baseline) return undefined;
    return { share, rows, accuracy: baseline.accuracy, accuracyInterval: baseline.accuracyInterval };
  });
  if (curve.length > 1) found.learningCurve = curve;
  const mapCurve = listOf(field(metrics, 'learningCurve'), (point): CurvePoint | undefined => {
    const [share, rows] = [numberOf(point, 'share'), numberOf(point, 'rows')];
    const meanAveragePrecision = numberOf(point, 'meanAveragePrecision');
    if (share === undefined || rows === undefined || meanAveragePrecision === undefined) return undefined;
    return { share, rows, meanAveragePrecision };
  });
  if (mapCurve.length > 1) found.mapCurve = mapCurve;
  const neighboursMap = numberOf(field(metrics, 'baselines'), 'nearestNeighbours');
  if (neighboursMap !== undefined) found.neighboursMap = neighboursMap;
  const chance = numberOf(field(metrics, 'baselines'), 'chance');
  if (chance !== undefined) found.chanceMap = chance;
  const validation = field(metrics, 'crossValidation');
  const path = listOf(field(validation, 'path'), (point): PathPoint | undefined => {
    const [l2, logLoss] = [numberOf(point, 'l2'), numberOf(point, 'logLoss')];
    const [standardError, accuracy] = [numberOf(point, 'standardError'), numberOf(point, 'accuracy')];
    if (l2 === undefined || logLoss === undefined) return undefined;
    return { l2, logLoss, standardError: standardError ?? 0, accuracy: accuracy ?? 0 };
  }).filter(({ l2 }) => l2 > 0);
  if (path.length > 1) found.path = path;
  const folds = numberOf(validation, 'folds');
  if (folds !== undefined) found.folds = folds;
  return found;
}

function baselineOf(value: JsonValue | undefined): Baseline | undefined {
  const accuracy = numberOf(value, 'accuracy');
  if (accuracy === undefined) return undefined;
  const [low, high] = listOf(field(value, 'accuracyInterval'), (bound) =>
    typeof bound === 'number' ? bound : undefined,
  );
  const accuracyInterval: [number, number] | null =
    low === undefined || high === undefined ? null : [low, high];
  return { accuracy, accuracyInterval, count: numberOf(value, 'count') ?? 0 };
}

function field(value: JsonValue | undefined, name: string): JsonValue | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value[name] : undefined;
}

function numberOf(value: JsonValue | undefined, name: string): number | undefined {
  const found = field(value, name);
  return typeof found === 'number' ? found : undefined;
}

function listOf<T>(value: JsonValue | undefined, read: (item: JsonValue) => T | undefined): T[] {
  return Array.isArray(value) ? value.flatMap((item) => read(item) ?? []) : [];
}
