import type { Examples } from './examples.js';
import { fitHead, type FitHeadOptions } from './fit-head.js';
import { judgeHead, type Trial } from './judge.js';
import { Evaluation } from './metrics.js';
import type { SoftmaxGraph } from './softmax-graph.js';
import { strataOf } from './strata.js';
import { shuffledRows, subsetOf } from './subset.js';

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

/**
 * Whether more examples are worth labelling: the accuracy of heads trained on 10, 20, 40, 80 and 100 % of each class, at
 * least one row of it, always judged on the same rows. Smaller parts are contained in larger ones. All heads have the
 * same λ; a small part would want a larger one, so the curve is, if anything, too steep at its beginning.
 * @param groups what decides which rows come first; [M]
 */
export async function learningCurve(
  graph: SoftmaxGraph,
  examples: Examples,
  { trials, groups, ...options }: FitHeadOptions & { trials: readonly Trial[]; groups: readonly string[] },
): Promise<CurvePoint[]> {
  const order = shuffledRows(groups);
  const points: CurvePoint[] = [];
  for (const share of SHARES) {
    const evaluation = new Evaluation(examples.names);
    let rows = 0;
    for (const { train, judge } of trials) {
      const part = subsetOf(strataOf(examples, train), train, order, { share });
      const head = await fitHead(graph, examples, { ...options, part });
      rows += head.counts.train.reduce((sum, count) => sum + count, 0);
      await judgeHead(graph, examples, judge, head, evaluation);
    }
    const { accuracy, accuracyInterval } = evaluation.result();
    points.push({ share, rows: Math.round(rows / trials.length), accuracy, accuracyInterval });
  }
  return points;
}
