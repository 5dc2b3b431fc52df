import { UsageError } from '../errors.js';
import { crossValidate, type CrossValidation, type FitProgress } from './cross-validate.js';
import { forCrossValidation } from './cv-examples.js';
import type { Examples, Part } from './examples.js';
import { checkFitOptions, DEFAULT_L2, fitHead, type FitHeadOptions } from './fit-head.js';
import { stratifiedFolds } from './folds.js';
import type { Head } from './head.js';
import type { L2Rule, PathPoint } from './l2-path.js';
import type { SoftmaxGraph } from './softmax-graph.js';
import { strataOf } from './strata.js';

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

export interface TuneProgress extends FitProgress {
  phase: 'cross-validation' | 'final fit';
}

/** Cross-validation, and what it went by. */
export interface FoundByFolds extends CrossValidation {
  examples: Examples;
  part: Part;
  foldOf: Int32Array;
  /** Rows that took part. */
  rows: number;
  /** Those of them that were held out once. */
  held: number;
}

/** What cross-validation found, whatever kind of head it was of. */
export interface FoldsReport {
  folds: number;
  /** Undefined where λ was given. */
  rule: L2Rule | undefined;
  path: PathPoint[];
  chosen: PathPoint;
  /** Rows that took part: all that are learnt from, or as many as find room in memory. */
  rows: number;
  /** Those that had to stay in training all the time, as their class or fact is in no other group. */
  neverHeld: number;
}

/** @param l2 λ, where it was given */
export function foldsReport(
  { folds, rule, path, chosen, rows, held }: FoundByFolds,
  l2: number | undefined,
): FoldsReport {
  return { folds, rule: l2 === undefined ? rule : undefined, path, chosen, rows, neverHeld: rows - held };
}

/**
 * Chooses λ by cross-validation, where it is not given and there are rows enough, and fits a head to the whole part with
 * it.
 * @throws {UsageError} where an option is out of its range
 * @throws as {@link fitHead} does
 */
export async function fitCrossValidated(
  graph: SoftmaxGraph,
  examples: Examples,
  options: TuneOptions,
): Promise<{ head: Head; found: FoundByFolds | undefined }> {
  checkFitOptions(options);
  const found = options.folds === 0 ? undefined : await crossValidation(graph, examples, options);
  const l2 = options.l2 ?? found?.chosen.l2 ?? DEFAULT_L2;
  options.onFit?.({ phase: 'final fit', l2, fits: found ? found.path.length * found.folds : 0, left: 1 });
  const start = found && mean(found.models.map(({ x }) => x));
  const preconditioner = found?.preconditioner;
  const head = await fitHead(graph, examples, {
    ...{ ...options, l2 },
    ...(start && { start }),
    ...(preconditioner && { preconditioner }),
  });
  return { head, found };
}

async function crossValidation(
  graph: SoftmaxGraph,
  examples: Examples,
  { folds: wanted, groups, onFit, l2Rule, ...options }: TuneOptions,
): Promise<FoundByFolds | undefined> {
  if (wanted !== undefined && (!Number.isInteger(wanted) || wanted < 2)) {
    throw new UsageError(
      `The number of folds is ${wanted}; it must be a whole number of 2 or more, or 0 for none.`,
    );
  }
  const judged = await forCrossValidation(examples, options.part, groups);
  const { part } = judged;
  const strata = strataOf(examples, part);
  const { foldOf, folds } = stratifiedFolds({
    classes: strata.of,
    count: strata.count,
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
        onFit({ ...progress, phase: 'cross-validation', left: progress.left + 1 });
      },
    }),
  });
  const held = foldOf.reduce((count, fold, row) => (fold >= 0 && part(row) ? count + 1 : count), 0);
  return { ...found, ...judged, foldOf, held };
}

/** A good start for the head of all rows: each fold's head has seen most of them. */
function mean(vectors: readonly Float64Array[]): Float64Array | undefined {
  const [first] = vectors;
  return first?.map((_, i) => vectors.reduce((sum, x) => sum + (x[i] ?? 0), 0) / vectors.length);
}
