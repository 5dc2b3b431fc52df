import { createHash } from 'node:crypto';
import type { Examples, Part } from './examples.js';
import { countClasses, fitHead, type FitHeadOptions } from './fit-head.js';
import { judgeHead, type Trial } from './judge.js';
import { Evaluation } from './metrics.js';
import type { SoftmaxGraph } from './softmax-graph.js';

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
  const order = shuffled(groups);
  const points: CurvePoint[] = [];
  for (const share of SHARES) {
    const evaluation = new Evaluation(examples.names);
    let rows = 0;
    for (const { train, judge } of trials) {
      const part = shareOf(examples, train, order, share);
      const head = await fitHead(graph, examples, { ...options, part });
      rows += head.counts.train.reduce((sum, count) => sum + count, 0);
      await judgeHead(graph, examples, judge, head, evaluation);
    }
    const { accuracy, accuracyInterval } = evaluation.result();
    points.push({ share, rows: Math.round(rows / trials.length), accuracy, accuracyInterval });
  }
  return points;
}

/** The rows in the order of the sha256 of their groups. */
function shuffled(groups: readonly string[]): Int32Array {
  const keys = groups.map((group) => createHash('sha256').update(group).digest('hex'));
  return Int32Array.from(keys, (_, row) => row).sort((a, b) => {
    const [first, second] = [keys[a] ?? '', keys[b] ?? ''];
    return first < second ? -1 : first > second ? 1 : a - b;
  });
}

/** The first so many of each class. */
function shareOf(examples: Examples, train: Part, order: Int32Array, share: number): Part {
  const wanted = countClasses(examples, train).map((count) => Math.ceil(share * count));
  const chosen = new Uint8Array(order.length);
  for (const row of order) {
    const c = examples.classes[row] ?? -1;
    if (c < 0 || !train(row) || (wanted[c] ?? 0) === 0) continue;
    chosen[row] = 1;
    wanted[c] = (wanted[c] ?? 0) - 1;
  }
  return (row) => chosen[row] === 1;
}
