import { Matrix } from 'ml-matrix';
import { UsageError } from '../errors.js';
import { calibrate, type CalibratedHeldOut } from './calibrate.js';
import { classMeans, heldOutSimilarities } from './class-means.js';
import { crossValidate, outOfFold, type CrossValidation } from './cross-validate.js';
import { forCrossValidation } from './cv-examples.js';
import type { Examples, Part } from './examples.js';
import { checkFitOptions, DEFAULT_L2, fitHead, type FitHeadOptions } from './fit-head.js';
import { stratifiedFolds } from './folds.js';
import type { Head } from './head.js';
import { trialsOf, type Trial } from './judge.js';
import type { L2Rule, PathPoint } from './l2-path.js';
import type { SoftmaxGraph } from './softmax-graph.js';

export interface TuneOptions extends FitHeadOptions {
  /** The rows to learn from. */
  part: Part;
  /** What each row belongs to, see `joinGroups`; rows of one group are never on both sides of a fold; [M]. */
  groups: readonly string[];
  /** λ; by default it is chosen by cross-validation. */
  l2?: number;
  /** How λ is chosen; default `best`. */
  l2Rule?: L2Rule;
  /** K of K-fold cross-validation, 2 or more, or 0 for none; default 5, 4 or 3, as the smallest class allows. */
  folds?: number;
  /** Called before each of the many fits. */
  onFit?: (progress: TuneProgress) => void;
}

export interface TuneProgress {
  phase: 'cross-validation' | 'final fit';
  l2: number;
  /** Fits that are done. */
  fits: number;
}

export interface TunedHead {
  /** Trained on the whole part, calibrated where there was cross-validation. */
  head: Head;
  /** Undefined where there was none. */
  crossValidation: HeldOutResult | undefined;
  /** The folds, and the examples that they are of: those that were given, or a part of them with the same row numbers. */
  trials: { examples: Examples; folds: Trial[] } | undefined;
}

/** What cross-validation found. */
export interface HeldOutResult extends CalibratedHeldOut {
  folds: number;
  /** Undefined where λ was given. */
  rule: L2Rule | undefined;
  path: PathPoint[];
  chosen: PathPoint;
  /** Rows that took part: all that are learnt from, or as many as find room in memory. */
  rows: number;
  /** Those that had to stay in training all the time, as their class is in no other group. */
  neverHeld: number;
}

/**
 * Trains the best head that the examples allow: λ is chosen by cross-validation, the head trained on all of them, and its
 * temperature and threshold fitted to the out-of-fold predictions of the chosen λ.
 * @throws {UsageError} where an option is out of its range
 * @throws as {@link fitHead} does
 */
export async function tuneHead(
  graph: SoftmaxGraph,
  examples: Examples,
  options: TuneOptions,
): Promise<TunedHead> {
  checkFitOptions(options);
  const found = options.folds === 0 ? undefined : await crossValidation(graph, examples, options);
  const l2 = options.l2 ?? found?.chosen.l2 ?? DEFAULT_L2;
  options.onFit?.({ phase: 'final fit', l2, fits: found ? found.path.length * found.folds : 0 });
  const start = found && mean(found.models.map(({ x }) => x));
  const head = await fitHead(graph, examples, { ...options, l2, ...(start && { start }) });
  if (!found) return { head, crossValidation: undefined, trials: undefined };

  const { part, foldOf, folds, rows } = found;
  const held = foldOf.reduce((count, fold, row) => (fold >= 0 && part(row) ? count + 1 : count), 0);
  const trials = trialsOf(part, foldOf, folds);
  const calibrated = await calibrate(
    () => outOfFold(graph, found.examples, found, found.models),
    held,
    await heldOutSimilarities(graph, found.examples, trials),
    examples.names,
  );
  const { temperature, unknown } = calibrated;
  const means = Matrix.from1DArray(head.labels.length, head.width, await classMeans(examples, options.part));
  return {
    head: head.with({ temperature, unknown: unknown && { means, threshold: unknown.threshold } }),
    trials: { examples: found.examples, folds: trials },
    crossValidation: {
      ...calibrated,
      folds,
      rule: options.l2 === undefined ? found.rule : undefined,
      path: found.path,
      chosen: found.chosen,
      rows,
      neverHeld: rows - held,
    },
  };
}

async function crossValidation(
  graph: SoftmaxGraph,
  examples: Examples,
  { folds: wanted, groups, onFit, l2Rule, ...options }: TuneOptions,
): Promise<
  (CrossValidation & { examples: Examples; part: Part; rows: number; foldOf: Int32Array }) | undefined
> {
  if (wanted !== undefined && (!Number.isInteger(wanted) || wanted < 2)) {
    throw new UsageError(
      `The number of folds is ${wanted}; it must be a whole number of 2 or more, or 0 for none.`,
    );
  }
  const judged = await forCrossValidation(examples, options.part, groups);
  const { part } = judged;
  const { foldOf, folds } = stratifiedFolds({
    classes: examples.classes.map((c, row) => (part(row) ? c : -1)),
    count: examples.names.length,
    groups,
    ...(wanted !== undefined && { folds: wanted }),
  });
  if (folds < 2) return undefined;
  const found = await crossValidate(graph, judged.examples, {
    ...options,
    part,
    foldOf,
    folds,
    ...(l2Rule && { rule: l2Rule }),
    ...(onFit && {
      onFit: (progress) => {
        onFit({ phase: 'cross-validation', ...progress });
      },
    }),
  });
  return { ...found, ...judged, foldOf };
}

/** A good start for the head of all rows: each fold's head has seen most of them. */
function mean(vectors: readonly Float64Array[]): Float64Array | undefined {
  const [first] = vectors;
  return first?.map((_, i) => vectors.reduce((sum, x) => sum + (x[i] ?? 0), 0) / vectors.length);
}
