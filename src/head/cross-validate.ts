import { argmax, binaryCrossEntropy, logSumExp } from '../util/math.js';
import { checkInteger } from '../util/validate.js';
import {
  type Examples,
  generateBlocks,
  momentsOf,
  type Part,
  type PartBlock,
  partBlocks,
  viewsLearntFrom,
} from './examples.js';
import { checkFitOptions, DEFAULT_L2, fit, fitHead, type FitHeadOptions } from './fit.js';
import type { Head } from './head.js';
import type { LabelSets } from './labels.js';
import { type SoftmaxGraph, toParameters } from './objective.js';
import { type Preconditioner, preconditionerFor } from './preconditioner.js';
import { loadPart, shuffledRows, strataOf, stratifiedFolds, subsetOf } from './split.js';
import { Moments, noScaling, type Scaling } from './standardize.js';

export interface TuneOptions extends FitHeadOptions {
  /** The rows to learn from. */
  part: Part;
  /** What each row belongs to, see `joinGroups`; rows of one group are never on both sides of a fold; [M]. */
  groups: readonly string[];
  /** λ; by default it is chosen by cross-validation. */
  l2?: number | undefined;
  /** How λ is chosen; default `best`. */
  l2Rule?: L2Rule | undefined;
  /** K of K-fold cross-validation, 2 or more, or 0 for none; default 5, 4 or 3, as the smallest class allows. */
  folds?: number | undefined;
  /** Called before each of the many fits. */
  onFit?: ((progress: TuneProgress) => void) | undefined;
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
    start,
    preconditioner,
  });
  return { head, found };
}

async function crossValidation(
  graph: SoftmaxGraph,
  examples: Examples,
  { folds: wanted, groups, onFit, l2Rule, ...options }: TuneOptions,
): Promise<FoundByFolds | undefined> {
  if (wanted !== undefined) checkInteger('folds', wanted, { min: 2, advice: 'Use 0 for none.' });
  const judged = await forCrossValidation(examples, options.part, groups);
  const { part } = judged;
  const strata = strataOf(examples, part);
  const { foldOf, folds } = stratifiedFolds({
    classes: strata.of,
    count: strata.count,
    groups,
    folds: wanted,
  });
  if (folds < 2) return undefined;
  const found = await crossValidate(graph, judged.examples, {
    ...options,
    part,
    foldOf,
    folds,
    rule: l2Rule,
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
  return first?.map((_, i) => vectors.reduce((sum, x) => sum + x[i]!, 0) / vectors.length);
}

/** Coarser than the final fit's: it changes log losses by less than 0.0001, and takes half as long. */
const TOLERANCE = 1e-4;

interface CrossValidationOptions {
  /** The rows to go by. */
  part: Part;
  /** Each row's fold; below 0 for rows that are never held out; [M]. */
  foldOf: Int32Array;
  folds: number;
  /** The one λ to judge; by default a path of them is gone along. */
  l2?: number | undefined;
  /** Default `best`. */
  rule?: L2Rule | undefined;
  labelSmoothing?: number | undefined;
  standardize?: boolean | undefined;
  /** Converged where the gradient's largest entry is at most this; default 1e-4. */
  tolerance?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called before each fit. */
  onFit?: ((progress: FitProgress) => void) | undefined;
}

interface FitProgress {
  l2: number;
  /** Fits that are done. */
  fits: number;
  /** Fits that are still to be done, this one included, so far as one can tell. */
  left: number;
}

/** A head that has not seen one fold. */
interface FoldModel {
  fold: number;
  /** W [N × D] then b [N], for features standardised by `scaling`. */
  x: Float64Array;
  /** Fitted to what the head was trained on, without the fold. */
  scaling: Scaling;
}

interface CrossValidation {
  folds: number;
  rule: L2Rule;
  /** What was tried, the largest λ first. */
  path: PathPoint[];
  chosen: PathPoint;
  /** Of the chosen λ. */
  models: FoldModel[];
  /** What sped up the fits, where there were so many rows and classes that it does. */
  preconditioner: Preconditioner | undefined;
}

/**
 * Judges values of λ by K-fold cross-validation: for each fold a head is trained on all the others, along a path from the
 * largest λ to smaller ones until these do no better. Each fit starts from the last one's optimum.
 * @throws as {@link fit} does
 */
async function crossValidate(
  graph: SoftmaxGraph,
  examples: Examples,
  options: CrossValidationOptions,
): Promise<CrossValidation> {
  const { folds, foldOf, part, rule = 'best', signal, onFit } = options;
  const { labelSmoothing = 0, tolerance = TOLERANCE } = options;
  const scalings = await scalingsOf(examples, options);
  const [classes, width] = [examples.names.length, examples.source.width];
  const { sets } = examples;
  const preconditioner = await preconditionerFor(graph, examples, part, scalings[0]);
  const path: PathPoint[] = [];
  const models: FoldModel[][] = [];
  for (const l2 of options.l2 === undefined ? l2Candidates() : [options.l2]) {
    const scores: FoldScore[] = [];
    const ofL2: FoldModel[] = [];
    for (const [fold, scaling] of scalings.entries()) {
      const further = options.l2 === undefined ? Math.max(0, expectedLeft(path) - 1) : 0;
      onFit?.({ l2, fits: path.length * folds + fold, left: folds - fold + further * folds });
      const blocks = await partBlocks(examples, (row) => part(row) && foldOf[row] !== fold, scaling);
      const start = models.at(-1)?.[fold]?.x;
      const { x } = await fit(graph, blocks, {
        classes,
        width,
        l2,
        labelSmoothing,
        tolerance,
        allowSeparable: true,
        sets,
        start,
        preconditioner,
        signal,
      });
      const model = { fold, x, scaling };
      ofL2.push(model);
      const heldOut = outOfFold(graph, examples, options, [model]);
      scores.push(await (sets ? scoreSets(heldOut, sets, classes) : score(heldOut, classes)));
    }
    path.push(toPathPoint(l2, scores));
    models.push(ofL2);
    if (isPastBest(path)) break;
  }
  const index = chooseL2(path, rule);
  const [chosen, ofChosen] = [path[index], models[index]];
  if (!chosen || !ofChosen) throw new RangeError('There was no λ to try.');
  return { folds, rule, path, chosen, models: ofChosen, preconditioner };
}

/** Held-out rows and their logits. */
interface HeldOut extends PartBlock {
  /** [rows × classes], row-major. */
  logits: Float32Array;
}

/** The logits of every row that is held out once, each from the head that has not seen it. */
export async function* outOfFold(
  graph: SoftmaxGraph,
  examples: Examples,
  { part, foldOf }: Pick<CrossValidationOptions, 'part' | 'foldOf'>,
  models: readonly FoldModel[],
): AsyncGenerator<HeldOut> {
  for (const { fold, x, scaling } of models) {
    const parameters = toParameters(x, examples.names.length);
    for await (const block of generateBlocks(examples, (row) => part(row) && foldOf[row] === fold, scaling)) {
      yield { ...block, logits: await graph.logits(block.features, parameters) };
    }
  }
}

/** For each fold, the scaling of the rows that are not in it. */
async function scalingsOf(
  { source, classes }: Examples,
  { part, foldOf, folds, standardize = true }: CrossValidationOptions,
): Promise<Scaling[]> {
  if (!standardize) return Array.from({ length: folds }, () => noScaling(source.width));
  // Rows that are never held out are counted last.
  const partOf = (row: number): number => {
    if (classes[row]! < 0 || !part(row)) return -1;
    const fold = foldOf[row]!;
    return fold < 0 ? folds : fold;
  };
  const moments = await momentsOf(source, folds + 1, partOf);
  return Array.from({ length: folds }, (_, fold) => {
    const others = new Moments(source.width);
    moments.forEach((each, k) => {
      if (k !== fold) others.join(each);
    });
    return others.scaling();
  });
}

async function score(blocks: AsyncIterable<HeldOut>, count: number): Promise<FoldScore> {
  const result = { weight: 0, loss: 0, rows: 0, right: 0 };
  for await (const { logits, classes, weights } of blocks) {
    for (let i = 0; i < classes.length; i++) {
      const [at, c, w] = [i * count, classes[i]!, weights?.[i] ?? 1];
      result.weight += w;
      result.loss += w * (logSumExp(logits, at, count) - logits[at + c]!);
      result.rows++;
      if (argmax(logits, at, count) === c) result.right++;
    }
  }
  return result;
}

/** How a λ did in cross-validation. */
export interface PathPoint {
  l2: number;
  /** Mean log loss on held-out rows, in nats; weighted as the objective is. */
  logLoss: number;
  /** Its standard error over the folds. */
  standardError: number;
  /** The part of held-out rows that were right; not weighted. */
  accuracy: number;
}

/** How λ is chosen: the least log loss, or the largest λ whose log loss is within one standard error of that. */
export type L2Rule = 'best' | 'one-se';
export const L2_RULES = ['best', 'one-se'] as const;

/** What one fold gave. */
interface FoldScore {
  /** Σ w of its held-out rows. */
  weight: number;
  /** Σ w · log loss, in nats. */
  loss: number;
  rows: number;
  right: number;
}

/** λ goes from 10 down by half powers of ten, to this at the farthest. */
const LARGEST_EXPONENT = 1;
const SMALLEST_EXPONENT = -7;

/** A log loss has to fall by this many nats to count as better: less makes no difference to anyone. */
const BETTER = 1e-3;

/** The path ends after so many λ that are no better than an earlier one. */
const PATIENCE = 3;

/** So many λ are tried of most data. */
const USUAL_LENGTH = 9;

/** The λ to try, the largest first: each optimum is a good start for the next one, and the first are found at once. */
export function* l2Candidates(): Generator<number> {
  for (let half = 2 * LARGEST_EXPONENT; half >= 2 * SMALLEST_EXPONENT; half--) {
    yield Number((10 ** (half / 2)).toPrecision(3));
  }
}

/** Whether smaller λ are not worth trying: log loss has one valley along the path, and it is behind. */
export function isPastBest(path: readonly PathPoint[]): boolean {
  return triedSinceBest(path) >= PATIENCE;
}

/** How many λ of a path that is under way are still to be tried, so far as one can tell. */
export function expectedLeft(path: readonly PathPoint[]): number {
  const since = triedSinceBest(path);
  const expected = since > 0 ? PATIENCE - since : Math.max(PATIENCE, USUAL_LENGTH - path.length);
  return Math.max(0, Math.min(expected, [...l2Candidates()].length - path.length));
}

/** λ that are no better than one before them. */
function triedSinceBest(path: readonly PathPoint[]): number {
  let [best, since] = [Infinity, 0];
  for (const { logLoss } of path) {
    since = logLoss < best - BETTER ? 0 : since + 1;
    best = Math.min(best, logLoss);
  }
  return since;
}

/**
 * A λ's scores in one: the mean over all rows, and its standard error from the spread of the folds' means, weighted as
 * the folds are: √(Σ wₖ (lₖ − l)² / Σ wₖ / (K − 1)), as glmnet's cvsd is.
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
 * The λ of a path.
 * @param path not empty
 * @returns its index; of log losses that differ by no more than 0.001, the larger λ's. `one-se` is the one-standard-error
 *   rule (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3)
 */
export function chooseL2(path: readonly PathPoint[], rule: L2Rule): number {
  const least = path.reduce((best, point, i) => (point.logLoss < (path[best]?.logLoss ?? 0) ? i : best), 0);
  const { logLoss = 0, standardError = 0 } = path[least] ?? {};
  const margin = rule === 'best' ? BETTER : Math.max(BETTER, standardError);
  let chosen = least;
  path.forEach((point, i) => {
    if (point.logLoss <= logLoss + margin && point.l2 > (path[chosen]?.l2 ?? 0)) chosen = i;
  });
  return chosen;
}

/** So many rows are loaded in any case. */
const LEAST_ROWS = 5_000;

/** Of each class so many, where it has them, however small its share. */
const LEAST_OF_CLASS = 10;

/**
 * The examples that cross-validation goes by: all of a part where the features lie in memory, and otherwise as many of
 * each class, in proportion, as find room there. It takes hundreds of passes, too many to read the features each time.
 * @returns examples with the same row numbers, the part of them and how many rows that is
 */
async function forCrossValidation(
  examples: Examples,
  part: Part,
  groups: readonly string[],
): Promise<{ examples: Examples; part: Part; rows: number }> {
  const { source, classes } = examples;
  const count = (isIn: Part) => classes.reduce((n, c, row) => (c >= 0 && isIn(row) ? n + 1 : n), 0);
  const all = count(part);
  if (source.inMemory) return { examples, part, rows: all };
  const withViews = all + viewsLearntFrom(examples, part);
  const share = Math.min(1, Math.max(LEAST_ROWS / all, source.room / withViews));
  const some = subsetOf(strataOf(examples, part), part, shuffledRows(groups), {
    share,
    least: LEAST_OF_CLASS,
  });
  const rows = count(some);
  return { examples: { ...examples, source: await loadPart(source, some, rows) }, part: some, rows };
}

/**
 * How well held-out rows with any number of labels are told: their log loss is the sum over labels, as in the objective,
 * and a row is right where each label's logit is on the right side of 0.
 * @param count N
 */
async function scoreSets(blocks: AsyncIterable<HeldOut>, sets: LabelSets, count: number): Promise<FoldScore> {
  const result = { weight: 0, loss: 0, rows: 0, right: 0 };
  for await (const { logits, classes, weights } of blocks) {
    for (let i = 0; i < classes.length; i++) {
      const [set, w] = [new Set(sets[classes[i]!]), weights?.[i] ?? 1];
      let isRight = true;
      for (let n = 0; n < count; n++) {
        const logit = logits[i * count + n]!;
        result.loss += w * binaryCrossEntropy(logit, set.has(n));
        if (logit > 0 !== set.has(n)) isRight = false;
      }
      result.weight += w;
      result.rows++;
      if (isRight) result.right++;
    }
  }
  return result;
}

/** λ is chosen by at most about so many rows: it hardly changes with more of them, and the path takes dozens of fits. */
const ROWS_FOR_L2 = 5_000;

interface OutOfFoldOptions {
  /** The rows to predict, each by a head trained on others of them. */
  part: Part;
  /** What each row belongs to, see `joinGroups`; rows of one group are never on both sides of a fold; [M]. */
  groups: readonly string[];
  /** λ; by default it is chosen by cross-validation. */
  l2?: number | undefined;
  /** Of every fit: converged where the gradient's largest entry is at most this; default 1e-4. */
  tolerance?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called before each fit. */
  onFit?: ((progress: { l2: number; fits: number }) => void) | undefined;
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
