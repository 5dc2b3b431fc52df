import { judgeHead, judgeMultilabelHead, type Trial } from './evaluate.js';
import type { Examples, Part } from './examples.js';
import { fitHead, type FitHeadOptions } from './fit.js';
import type { Head } from './head.js';
import { Evaluation, MultilabelEvaluation } from './metrics.js';
import type { SoftmaxGraph } from './objective.js';
import { shuffledRows, strataOf, subsetOf } from './split.js';

/** The parts of the training rows that are learnt from. */
const SHARES = [0.1, 0.2, 0.4, 0.8, 1];

/** How good a head of part of the training rows is. */
export interface CurvePoint {
  /** 0 … 1 */
  share: number;
  /** Rows learnt from, the mean over trials, rounded. */
  rows: number;
  accuracy: number | null;
  /** 95 %, by Wilson. */
  accuracyInterval: [number, number] | null;
}

/** How good a multilabel head of part of the training rows is. */
export interface MultilabelCurvePoint {
  /** 0 … 1 */
  share: number;
  /** Rows learnt from, the mean over trials, rounded. */
  rows: number;
  meanAveragePrecision: number | null;
}

interface CurveOptions extends FitHeadOptions {
  trials: readonly Trial[];
  /** What decides which rows come first; [M]. */
  groups: readonly string[];
}

/**
 * Whether more examples are worth labelling: the accuracy of heads trained on 10, 20, 40, 80 and 100 % of each class, at
 * least one row of it, always judged on the same rows. Smaller parts are contained in larger ones. All heads have the
 * same λ; a small part would want a larger one, so the curve is, if anything, too steep at its beginning.
 */
export async function learningCurve(
  graph: SoftmaxGraph,
  examples: Examples,
  options: CurveOptions,
): Promise<CurvePoint[]> {
  const points: CurvePoint[] = [];
  for (const share of SHARES) {
    const evaluation = new Evaluation(examples.names);
    const rows = await trainOnShare(graph, examples, options, share, (head, judge) =>
      judgeHead(graph, examples, judge, head, evaluation),
    );
    const { accuracy, accuracyInterval } = evaluation.result();
    points.push({ share, rows, accuracy, accuracyInterval });
  }
  return points;
}

/** As {@link learningCurve}, the mAP of heads of any number of labels. */
export async function multilabelLearningCurve(
  graph: SoftmaxGraph,
  examples: Examples,
  options: CurveOptions,
): Promise<MultilabelCurvePoint[]> {
  const points: MultilabelCurvePoint[] = [];
  for (const share of SHARES) {
    const evaluation = new MultilabelEvaluation(examples.names);
    const rows = await trainOnShare(graph, examples, options, share, (head, judge) =>
      judgeMultilabelHead(graph, examples, judge, head, evaluation),
    );
    points.push({ share, rows, meanAveragePrecision: evaluation.result().meanAveragePrecision });
  }
  return points;
}

/** Trains a head on a share of what each trial learns from. @returns the mean of their rows, rounded */
async function trainOnShare(
  graph: SoftmaxGraph,
  examples: Examples,
  { trials, groups, ...options }: CurveOptions,
  share: number,
  judgeBy: (head: Head, judge: Part) => Promise<void>,
): Promise<number> {
  const order = shuffledRows(groups);
  let rows = 0;
  for (const { train, judge } of trials) {
    const part = subsetOf(strataOf(examples, train), train, order, { share });
    const head = await fitHead(graph, examples, { ...options, part });
    rows += examples.classes.reduce((count, c, row) => (c >= 0 && part(row) ? count + 1 : count), 0);
    await judgeBy(head, judge);
  }
  return Math.round(rows / trials.length);
}
