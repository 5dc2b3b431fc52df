import { crossValidate, outOfFold, type HeldOut } from './cross-validate.js';
import type { Examples, Part } from './examples.js';
import { stratifiedFolds } from './folds.js';
import { strataOf } from './strata.js';
import { loadPart, shuffledRows, subsetOf } from './subset.js';
import type { SoftmaxGraph } from './softmax-graph.js';

/** λ is chosen by at most about so many rows: it hardly changes with more of them, and the path takes dozens of fits. */
const ROWS_FOR_L2 = 5_000;

/** Of each class so many, where it has them. */
const LEAST_OF_CLASS = 10;

export interface OutOfFoldOptions {
  /** The rows to predict, each by a head trained on others of them. */
  part: Part;
  /** What each row belongs to, see `joinGroups`; rows of one group are never on both sides of a fold; [M]. */
  groups: readonly string[];
  /** λ; by default it is chosen by cross-validation. */
  l2?: number;
  /** Of every fit: converged where the gradient's largest entry is at most this; default 1e-4. */
  tolerance?: number;
  signal?: AbortSignal;
  /** Called before each fit. */
  onFit?: (progress: { l2: number; fits: number }) => void;
}

export interface OutOfFold {
  folds: number;
  l2: number;
  /** The logits of every row that was held out, each from the head that has not seen it; computed anew by every call. */
  predictions: () => AsyncGenerator<HeldOut>;
}

/**
 * Predicts each row by a head that has not seen it: K-fold cross-validation with one λ.
 * @param graph of the examples' kind
 * @returns undefined where too few rows differ for it
 * @throws {LastlayerError} where there is no finite optimum
 * @throws the signal's reason, once it aborts
 */
export async function predictOutOfFold(
  graph: SoftmaxGraph,
  examples: Examples,
  { part, groups, ...options }: OutOfFoldOptions,
): Promise<OutOfFold | undefined> {
  const dealt = (isIn: Part) => {
    const { of: classes, count } = strataOf(examples, isIn);
    return { part: isIn, ...stratifiedFolds({ classes, count, groups }) };
  };
  const all = dealt(part);
  if (all.folds < 2) return undefined;
  let { l2 } = options;
  if (l2 === undefined) {
    const rows = examples.classes.reduce((n, c, row) => (c >= 0 && part(row) ? n + 1 : n), 0);
    const share = Math.min(1, ROWS_FOR_L2 / rows);
    const some = subsetOf(strataOf(examples, part), part, shuffledRows(groups), {
      share,
      least: LEAST_OF_CLASS,
    });
    const judged = share < 1 ? await packed(examples, some) : examples;
    const { chosen } = await crossValidate(graph, judged, { ...options, ...(share < 1 ? dealt(some) : all) });
    l2 = chosen.l2;
  }
  const { models, folds } = await crossValidate(graph, examples, { ...options, ...all, l2 });
  return { folds, l2, predictions: () => outOfFold(graph, examples, all, models) };
}

/** A part by itself: scattered over the blocks of all rows, its fits would take several times as long. */
async function packed(examples: Examples, part: Part): Promise<Examples> {
  const rows = examples.classes.reduce((n, _, row) => (part(row) ? n + 1 : n), 0);
  return { ...examples, source: await loadPart(examples.source, part, rows) };
}
