import {
  countRows,
  countViews,
  evaluationBlocks,
  loadRows,
  momentsOf,
  trainingBlocks,
  type ExampleBlock,
  type Examples,
} from './examples.js';
import { fit } from './fit.js';
import { toParameters, type HeadGraph } from './objective.js';
import { preconditionerFor, type Preconditioner } from './preconditioner.js';
import { shuffledRows, stratifiedFolds, subsetOf } from './split.js';
import { Moments, noScaling, type Scaling } from './standardize.js';
import type { FoldScore, RowMask } from './task.js';

/** Coarser than for the final fit: it changes log losses by less than 0.0001, and takes half as long. */
const TOLERANCE = 1e-4;

export interface CrossValidationOptions {
  mask: RowMask;
  /** Each row's fold, below 0 for rows that are never held out; [M]. */
  foldOf: Int32Array;
  folds: number;
  /** The only λ to evaluate. @default a path of them, from large to small */
  l2?: number | undefined;
  /** @default 'best' */
  rule?: L2Rule | undefined;
  labelSmoothing?: number | undefined;
  standardize?: boolean | undefined;
  /** Converged once the gradient's largest entry is at most this. @default 1e-4 */
  tolerance?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called before each fit. */
  onFit?: ((progress: FitProgress) => void) | undefined;
}

export interface FitProgress {
  l2: number;
  /** Fits that are done. */
  fits: number;
  /** Fits that are still to be done, this one included, as far as one can tell. */
  left: number;
}

/** A head that has not seen one fold. */
interface FoldModel {
  fold: number;
  /** W [N × D] then b [N], for features standardised by `scaling`. */
  x: Float64Array;
  /** Of the fold's training rows. */
  scaling: Scaling;
}

export interface CrossValidation {
  /** What was cross-validated. */
  examples: Examples;
  mask: RowMask;
  foldOf: Int32Array;
  folds: number;
  rule: L2Rule;
  /** The λ that were tried, largest first. */
  path: PathPoint[];
  chosen: PathPoint;
  /** The heads of the chosen λ. */
  models: FoldModel[];
  /** What sped up the fits, if the data are large enough. */
  preconditioner: Preconditioner | undefined;
}

/**
 * Evaluates values of λ by K-fold cross-validation: for each fold, a head is trained on all the others, along a path from
 * the largest λ to smaller ones until these do no better. Each fit starts from the previous optimum.
 * @throws as {@link fit} does
 */
export async function crossValidate(
  graph: HeadGraph,
  examples: Examples,
  options: CrossValidationOptions,
): Promise<CrossValidation> {
  const { folds, foldOf, mask, rule = 'best', signal, onFit } = options;
  const { labelSmoothing = 0, tolerance = TOLERANCE } = options;
  const { labelSets, names, source } = examples;
  const scalings = await scalingsOf(examples, options);
  const preconditioner = await preconditionerFor(graph, examples, mask, scalings[0]);
  const path: PathPoint[] = [];
  const models: FoldModel[][] = [];
  for (const l2 of options.l2 === undefined ? l2Candidates() : [options.l2]) {
    const scores: FoldScore[] = [];
    const ofL2: FoldModel[] = [];
    for (const [fold, scaling] of scalings.entries()) {
      const further = options.l2 === undefined ? Math.max(0, expectedLeft(path) - 1) : 0;
      onFit?.({ l2, fits: path.length * folds + fold, left: folds - fold + further * folds });
      const blocks = await trainingBlocks(examples, (row) => mask(row) && foldOf[row] !== fold, scaling);
      const { x } = await fit(graph, blocks, {
        count: names.length,
        labelSets,
        width: source.width,
        l2,
        labelSmoothing,
        tolerance,
        allowSeparable: true,
        start: models.at(-1)?.[fold]?.x,
        preconditioner,
        signal,
      });
      const model = { fold, x, scaling };
      ofL2.push(model);
      scores.push(await scoreOf(graph, { examples, mask, foldOf, models: [model] }));
    }
    path.push(toPathPoint(l2, scores));
    models.push(ofL2);
    if (isPastBest(path)) break;
  }
  const index = chooseL2(path, rule);
  return {
    examples,
    mask,
    foldOf,
    folds,
    rule,
    path,
    chosen: path[index]!,
    models: models[index]!,
    preconditioner,
  };
}

/** For each fold, the scaling of the rows that are not in it. */
async function scalingsOf(
  { source, targets }: Examples,
  { mask, foldOf, folds, standardize = true }: CrossValidationOptions,
): Promise<Scaling[]> {
  if (!standardize) return Array.from({ length: folds }, () => noScaling(source.width));
  // Rows that are never held out make one more group.
  const groupOf = (row: number): number => {
    if (targets[row]! < 0 || !mask(row)) return -1;
    return foldOf[row]! < 0 ? folds : foldOf[row]!;
  };
  const moments = await momentsOf(source, folds + 1, groupOf);
  return Array.from({ length: folds }, (_, fold) => {
    const others = new Moments(source.width);
    moments.forEach((each, k) => {
      if (k !== fold) others.join(each);
    });
    return others.scaling();
  });
}

async function scoreOf(graph: HeadGraph, heldOut: Parameters<typeof heldOutLogits>[1]): Promise<FoldScore> {
  const { task, names, labelSets } = heldOut.examples;
  const total = { weight: 0, loss: 0, rows: 0, right: 0 };
  for await (const { logits, targets, weights } of heldOutLogits(graph, heldOut)) {
    targets.forEach((target, i) => {
      const row = { logits, at: i * names.length, labels: labelSets[target]! };
      task.score(total, row, names.length, weights?.[i] ?? 1);
    });
  }
  return total;
}

/** Held-out rows and their logits. */
export interface HeldOutBlock extends ExampleBlock {
  fold: number;
  /** [rows × N], row-major. */
  logits: Float32Array;
}

/** The logits of every row that was held out, each from the head that has not seen it, fold by fold. */
export async function* heldOutLogits(
  graph: HeadGraph,
  { examples, mask, foldOf, models }: Pick<CrossValidation, 'examples' | 'mask' | 'foldOf' | 'models'>,
): AsyncGenerator<HeldOutBlock> {
  for (const { fold, x, scaling } of models) {
    const parameters = toParameters(x, examples.names.length);
    const isHeldOut = (row: number) => mask(row) && foldOf[row] === fold;
    for await (const block of evaluationBlocks(examples, isHeldOut, scaling)) {
      yield { ...block, fold, logits: await graph.logits(block.features, parameters) };
    }
  }
}

/** How a λ did in cross-validation. */
export interface PathPoint {
  l2: number;
  /** Mean log loss on held-out rows, in nats, weighted as the objective is. */
  logLoss: number;
  /** Its standard error over the folds. */
  standardError: number;
  /** The fraction of held-out rows that were right, unweighted. */
  accuracy: number;
}

/** How λ is chosen: by the least log loss, or the largest λ whose log loss is within one standard error of it. */
export type L2Rule = 'best' | 'one-se';
export const L2_RULES = ['best', 'one-se'] as const;

/** λ goes from 10 down by half powers of ten, to this at most. */
const LARGEST_EXPONENT = 1;
const SMALLEST_EXPONENT = -7;

/** A log loss has to fall by this many nats to count as better. Less makes no difference to anyone. */
const BETTER = 1e-3;

/** The path ends after this many λ that are no better than an earlier one. */
const PATIENCE = 3;

/** How many λ are tried for most data. */
const USUAL_LENGTH = 9;

/** The λ to try, largest first: each optimum is a good start for the next one, and the first are found at once. */
export function* l2Candidates(): Generator<number> {
  for (let half = 2 * LARGEST_EXPONENT; half >= 2 * SMALLEST_EXPONENT; half--) {
    yield Number((10 ** (half / 2)).toPrecision(3));
  }
}

/** Whether smaller λ are not worth trying: log loss has one valley along the path, and it is behind. */
export function isPastBest(path: readonly PathPoint[]): boolean {
  return triedSinceBest(path) >= PATIENCE;
}

/** How many λ of an unfinished path are still to be tried, as far as one can tell. */
export function expectedLeft(path: readonly PathPoint[]): number {
  const since = triedSinceBest(path);
  const expected = since > 0 ? PATIENCE - since : Math.max(PATIENCE, USUAL_LENGTH - path.length);
  return Math.max(0, Math.min(expected, [...l2Candidates()].length - path.length));
}

function triedSinceBest(path: readonly PathPoint[]): number {
  let [best, since] = [Infinity, 0];
  for (const { logLoss } of path) {
    since = logLoss < best - BETTER ? 0 : since + 1;
    best = Math.min(best, logLoss);
  }
  return since;
}

/**
 * The scores of one λ together: the mean over all rows, and its standard error from the spread of the folds' means, weighted
 * like the folds: √(Σ wₖ (lₖ − l)² / Σ wₖ / (K − 1)), as glmnet's cvsd.
 */
export function toPathPoint(l2: number, scores: readonly FoldScore[]): PathPoint {
  const total = (value: (score: FoldScore) => number) => scores.reduce((sum, score) => sum + value(score), 0);
  const weight = total((score) => score.weight);
  const logLoss = total(({ loss }) => loss) / weight;
  const spread = total((score) => score.weight * (score.loss / score.weight - logLoss) ** 2) / weight;
  return {
    l2,
    logLoss,
    standardError: Math.sqrt(spread / Math.max(1, scores.length - 1)),
    accuracy: total(({ right }) => right) / total(({ rows }) => rows),
  };
}

/**
 * Chooses λ from a path.
 * @param path not empty
 * @returns its index. If log losses differ by no more than 0.001, the larger λ wins. `one-se` is the one-standard-error rule
 *   (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3)
 */
export function chooseL2(path: readonly PathPoint[], rule: L2Rule): number {
  const least = path.reduce((best, { logLoss }, i) => (logLoss < path[best]!.logLoss ? i : best), 0);
  const { logLoss, standardError } = path[least]!;
  const margin = rule === 'best' ? BETTER : Math.max(BETTER, standardError);
  let chosen = least;
  path.forEach((point, i) => {
    if (point.logLoss <= logLoss + margin && point.l2 > path[chosen]!.l2) chosen = i;
  });
  return chosen;
}

/** At least this many rows are loaded, whatever the memory. */
const LEAST_ROWS = 5_000;

/** At least this many rows of each class, if it has them, however small its share. */
const LEAST_OF_CLASS = 10;

/**
 * The examples to cross-validate on: all masked rows if the features are in memory, otherwise as many as fit there, of each
 * class in proportion, since cross-validation takes hundreds of passes. The rows keep their numbers.
 */
export async function sampleInMemory(
  examples: Examples,
  mask: RowMask,
  groups: readonly string[],
): Promise<{ examples: Examples; mask: RowMask }> {
  const { source } = examples;
  if (source.inMemory) return { examples, mask };
  const all = countRows(examples, mask);
  const share = Math.min(1, Math.max(LEAST_ROWS / all, source.room / (all + countViews(examples, mask))));
  return sample(examples, mask, groups, share);
}

async function sample(examples: Examples, mask: RowMask, groups: readonly string[], share: number) {
  const strata = examples.task.strata(examples, mask);
  const some = subsetOf(strata, mask, shuffledRows(groups), { share, least: LEAST_OF_CLASS });
  const source = await loadRows(examples.source, some, countRows(examples, some));
  return { examples: { ...examples, source }, mask: some };
}

/** λ is chosen on at most about this many rows: it hardly changes with more, and the path takes dozens of fits. */
const ROWS_FOR_L2 = 5_000;

export interface OutOfFoldOptions {
  /** The rows to predict, each by a head trained on others of them. */
  mask: RowMask;
  /** What each row belongs to, see `joinGroups`. Rows of one group are never on both sides of a fold; [M]. */
  groups: readonly string[];
  /** @default chosen by cross-validation */
  l2?: number | undefined;
  /** Of every fit: converged once the gradient's largest entry is at most this. @default 1e-4 */
  tolerance?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called before each fit. */
  onFit?: ((progress: FitProgress) => void) | undefined;
}

export interface OutOfFold {
  folds: number;
  l2: number;
  /** The logits of every row that was held out, each from the head that has not seen it; computed by each call. */
  predictions: () => AsyncGenerator<HeldOutBlock>;
}

/**
 * Predicts each row by a head that has not seen it: K-fold cross-validation with one λ.
 * @returns undefined if too few rows differ for it
 * @throws {LastlayerError} if there is no finite optimum
 * @throws the signal's reason, once it aborts
 */
export async function predictOutOfFold(
  graph: HeadGraph,
  examples: Examples,
  { mask, groups, l2, ...options }: OutOfFoldOptions,
): Promise<OutOfFold | undefined> {
  const split = (rows: RowMask) => ({
    mask: rows,
    ...stratifiedFolds({ strata: examples.task.strata(examples, rows), groups }),
  });
  const all = split(mask);
  if (all.folds < 2) return undefined;
  const validate = (of: Examples, by: typeof all, l2Given?: number) =>
    crossValidate(graph, of, { ...options, ...by, l2: l2Given });
  const chooseOn = async () => {
    const share = ROWS_FOR_L2 / countRows(examples, mask);
    if (share >= 1) return validate(examples, all);
    const some = await sample(examples, mask, groups, share);
    return validate(some.examples, split(some.mask));
  };
  const chosen = l2 ?? (await chooseOn()).chosen.l2;
  const found = await validate(examples, all, chosen);
  return { folds: found.folds, l2: chosen, predictions: () => heldOutLogits(graph, found) };
}
