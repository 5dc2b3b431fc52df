import { evaluateHead, type Fold } from './evaluate.js';
import { countRows, type Examples } from './examples.js';
import { fitHead, type FitHeadOptions } from './fit.js';
import type { HeadGraph } from './objective.js';
import { shuffledRows, subsetOf } from './split.js';
import type { CurveFigures, Task } from './task.js';

/** The fractions of the training rows that are trained on. */
const SHARES = [0.1, 0.2, 0.4, 0.8, 1];

/** How good a head is that was trained on some of the training rows. */
export interface CurvePoint extends CurveFigures {
  /** 0 … 1 */
  share: number;
  /** Rows trained on, the mean over folds, rounded. */
  rows: number;
}

export interface CurveOptions extends FitHeadOptions {
  folds: readonly Fold[];
  /** Decides which rows come first; [M]. */
  groups: readonly string[];
}

/**
 * Whether it pays to label more examples: how good heads are that were trained on 10, 20, 40, 80 and 100 % of each class
 * or label, but at least one row, always evaluated on the same rows. Smaller subsets are contained in larger ones. All
 * heads have the same λ; a small subset would want a larger one, so the start of the curve is, if anything, too steep.
 */
export async function learningCurve<Result>(
  task: Task<Result>,
  graph: HeadGraph,
  examples: Examples,
  { folds, groups, ...options }: CurveOptions,
): Promise<CurvePoint[]> {
  const order = shuffledRows(groups);
  const points: CurvePoint[] = [];
  for (const share of SHARES) {
    const evaluator = task.evaluator(examples.names);
    let rows = 0;
    for (const { train, validation } of folds) {
      const mask = subsetOf(task.strata(examples, train), train, order, { share });
      const head = await fitHead(graph, examples, { ...options, mask });
      rows += countRows(examples, mask);
      await evaluateHead(graph, examples, validation, head, evaluator);
    }
    const figures = task.curveFigures(evaluator.result());
    points.push({ share, rows: Math.round(rows / folds.length), ...figures });
  }
  return points;
}
