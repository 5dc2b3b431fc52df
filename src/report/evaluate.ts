import { splitRows, type DataSplit } from '../classify/train.js';
import type { PathPoint } from '../head/choose-l2.js';
import { heldOutSimilarities, similaritiesTo } from '../head/baselines.js';
import { predictOutOfFold } from '../head/cross-validate.js';
import type { FeatureSource } from '../head/examples.js';
import { decide } from '../head/evaluate.js';
import type { Head } from '../head/head.js';
import type { CurvePoint } from '../head/learning-curve.js';
import type { EvaluationResult, MultilabelResult } from '../head/metrics.js';
import { HeadGraph } from '../head/objective.js';
import { taskOf, type Baselines, type MultilabelBaselines, type RowMask, type Targets } from '../head/task.js';
import { type Typicality, typicalityBy, type UnknownRule } from '../head/unknown.js';
import type { DatasetEmbeddings } from '../store/dataset-rows.js';
import { LastlayerError } from '../util/errors.js';
import { isObject } from '../util/json.js';

/**
 * A picture, its labels and the predicted ones: one each for a softmax head, any number for a multilabel head. Its typicality, like the
 * prediction, is by a head and class means that have not seen it, if there are such.
 */
export interface EvaluatedPicture extends Typicality {
  row: number;
  path: string;
  /** Indices into the head's labels, ascending. */
  labels: readonly number[];
  predicted: readonly number[];
  /** The probability of the prediction; for a multilabel head, that of its least certain decision; 0 … 1. */
  certainty: number;
  /** Of the labels and of the predicted ones; 0 … 1. */
  probabilities: ReadonlyMap<number, number>;
}

export type ReportEvaluation = EvaluatedOn & {
  /** In the order of their rows. */
  pictures: EvaluatedPicture[];
} & ({ kind: 'softmax'; result: EvaluationResult } | { kind: 'multilabel'; result: MultilabelResult });

interface EvaluatedOn {
  /** What the head was evaluated on, in words. */
  on: string;
  /** False if the head was trained on these pictures, since there are no others. */
  isHeldOut: boolean;
}

/**
 * Evaluates a head on the validation split or, if there is none, heads like it by cross-validation.
 * @throws {LastlayerError} if no picture has a label that the head knows
 * @throws the signal's reason, once it aborts
 */
export async function evaluateForReport(
  stored: DatasetEmbeddings,
  head: Head,
  signal: AbortSignal | undefined,
): Promise<ReportEvaluation> {
  const task = taskOf(head.kind);
  const split = splitRows(task, stored, {});
  const indexOf = new Map(head.labels.map((label, n) => [label, n]));
  const known = split.labels.map((list) => list.flatMap((label) => indexOf.get(label) ?? []).sort((a, b) => a - b));
  const evaluator = task.evaluator(head.labels, { thresholds: head.thresholds });
  const pictures: EvaluatedPicture[] = [];

  const evaluatedOn = await predictUnseen(
    stored.source,
    head,
    known,
    split,
    signal,
    ({ row, logits, at, similarity }) => {
      const labels = known[row]!;
      for (const label of split.labels[row]!) if (!indexOf.has(label)) evaluator.addUnknown(label);
      if (head.kind === 'softmax' && labels.length === 0) return;
      const probabilities = new Float64Array(head.labels.length);
      task.probabilities(probabilities, logits, at, head.temperature);
      evaluator.add(labels, probabilities);
      const { predicted, certainty } = decide(head, probabilities);
      const { typicality, unknown } =
        head.unknown && similarity !== undefined
          ? typicalityBy(head.unknown, similarity, Math.max(...probabilities))
          : { typicality: null, unknown: false };
      pictures.push({
        row,
        path: stored.rows[row]!.path,
        labels,
        predicted,
        certainty,
        typicality,
        unknown,
        probabilities: new Map([...labels, ...predicted].map((n) => [n, probabilities[n]!])),
      });
    },
  );

  if (!pictures.some(({ labels }) => labels.length > 0)) {
    throw new LastlayerError(
      `No picture of ${stored.record.dataset} has a label that the head knows (${head.labels.slice(0, 5).join(', ')}). Name ` +
        'the data set that it was trained on with --dataset.',
    );
  }
  pictures.sort((a, b) => a.row - b.row);
  return { kind: head.kind, result: evaluator.result(), pictures, ...evaluatedOn } as ReportEvaluation;
}

/** A row, and where its logits begin: [N] of them, before the temperature. */
interface Visited {
  row: number;
  logits: Float32Array;
  at: number;
  /** Cosine to the nearest class mean, if the head tells how typical pictures are. */
  similarity: number | undefined;
}

/**
 * Predicts the validation split by the head or, if there is none, every picture by a head that has not seen it.
 * @param known each row's labels, as indices; [M]
 */
async function predictUnseen(
  source: FeatureSource,
  head: Head,
  known: readonly (readonly number[])[],
  { train, validation, from, groups }: DataSplit,
  signal: AbortSignal | undefined,
  visit: (visited: Visited) => void,
): Promise<EvaluatedOn> {
  const task = taskOf(head.kind);
  const count = head.labels.length;

  return HeadGraph.with(task, async (graph) => {
    const predict = async (mask: RowMask): Promise<void> => {
      const parameters = { W: Float32Array.from(head.weights.to1DArray()), b: head.bias };
      const means = head.unknown && Float32Array.from(head.unknown.means.to1DArray());
      for await (const { rows, features } of source.blocks()) {
        signal?.throwIfAborted();
        const logits = await graph.logits(features, parameters);
        const similarities = means && (await similaritiesTo(means, graph, features, source.width));
        rows.forEach((row, i) => {
          if (mask(row)) visit({ row, logits, at: i * count, similarity: similarities?.[i] });
        });
      }
    };
    if (from === 'validation split') {
      await predict(validation);
      return { on: 'the validation split', isHeldOut: true };
    }
    const examples = { task, source, ...targetsOf(head, known) };
    const outOfFold = await predictOutOfFold(graph, examples, { mask: train, groups, l2: head.l2, signal });
    if (!outOfFold) {
      await predict(train);
      return { on: 'the training pictures, since there are no others', isHeldOut: false };
    }
    const similarities = head.unknown && (await heldOutSimilarities(graph, examples, outOfFold.folds));
    for await (const { rows, logits } of outOfFold.predictions()) {
      rows.forEach((row, i) => {
        visit({ row, logits, at: i * count, similarity: similarities?.[row] });
      });
    }
    const on = `${outOfFold.folds.length}-fold cross-validation: each picture by a head that has not seen it`;
    return { on, isHeldOut: true };
  });
}

function targetsOf({ kind, labels: names }: Head, known: readonly (readonly number[])[]): Targets {
  return kind === 'softmax'
    ? { names, labelSets: names.map((_, n) => [n]), targets: Int32Array.from(known, ([n = -1]) => n) }
    : { names, labelSets: known, targets: Int32Array.from(known.keys()) };
}

/** What `train-head` measured, see `trainingJson`. */
export interface TrainingMetrics {
  baselines?: Baselines | MultilabelBaselines | null;
  learningCurve?: CurvePoint[] | null;
  crossValidation?: { path: PathPoint[] } | null;
  unknown?: Pick<UnknownRule, 'flaggedRight' | 'flaggedWrong'> | null;
}

/** Anything that is missing, or not as `train-head` writes it, is left out: a head file may come from anywhere. */
export function trainingMetrics({ kind, metrics }: Head): TrainingMetrics {
  const { baselines, learningCurve, crossValidation } = fieldsOf(metrics);
  const [{ mostCommon, nearestCentroid, nearestNeighbours }, { path, unknown }] = [
    fieldsOf(baselines),
    fieldsOf(crossValidation),
  ];
  const has = (value: unknown, names: string[]) =>
    names.map((name) => fieldsOf(value)[name]).every((found) => found === null || Number.isFinite(found));
  const isScore = (value: unknown) => {
    const { accuracyInterval: bounds } = fieldsOf(value);
    return has(value, ['accuracy']) && (bounds === null || (Array.isArray(bounds) && bounds.every(Number.isFinite)));
  };
  const isList = (value: unknown, isItem: (item: unknown) => boolean) => Array.isArray(value) && value.every(isItem);
  const isSoftmax = kind === 'softmax';
  const isPoint = (point: unknown) =>
    has(point, ['share', 'rows']) && (isSoftmax ? isScore(point) : has(point, ['meanAveragePrecision']));
  const keepBaselines = isSoftmax
    ? isScore(mostCommon) &&
      has(mostCommon, ['wins', 'losses', 'pValue']) &&
      isScore(nearestCentroid) &&
      isScore(nearestNeighbours)
    : has(baselines, ['chance', 'nearestNeighbours', 'k']);
  return {
    baselines: keepBaselines ? baselines : null,
    learningCurve: isList(learningCurve, isPoint) ? learningCurve : null,
    crossValidation: isList(path, (point) => has(point, ['l2', 'logLoss', 'standardError', 'accuracy']))
      ? crossValidation
      : null,
    unknown: has(unknown, ['flaggedRight', 'flaggedWrong']) ? unknown : null,
  } as TrainingMetrics;
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return isObject(value) ? value : {};
}
