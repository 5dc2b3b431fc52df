import { LastlayerError, UsageError } from '../util/errors.js';
import { Matrix } from '../util/matrix.js';
import { checkInteger } from '../util/validate.js';
import { classMeans, classMeansOfEach, heldOutSimilarities } from './baselines.js';
import { fitTemperature } from './calibrate.js';
import type { L2Rule, PathPoint } from './choose-l2.js';
import {
  crossValidate,
  heldOutLogits,
  sampleInMemory,
  type CrossValidation,
  type FitProgress,
} from './cross-validate.js';
import { foldsOf, trainingRows, type Fold } from './evaluate.js';
import { countRows, featuresInMemory, rowWeights, type ClassWeights, type Examples } from './examples.js';
import { checkFitOptions, DEFAULT_L2, fitHead, type FitHeadOptions } from './fit.js';
import type { Head } from './head.js';
import { HeadGraph } from './objective.js';
import { stratifiedFolds } from './split.js';
import {
  multilabelTask,
  softmaxTask,
  type HeldOutEvaluation,
  type HeldOutRow,
  type LogitRow,
  type RowMask,
  type Task,
} from './task.js';
import { checkRate, DEFAULT_UNKNOWN, type UnknownRate } from './unknown.js';
import type { HeadTransform } from './whiten.js';

export interface TrainHeadOptions extends FitHeadOptions {
  /** X [M × width], row-major. */
  embeddings: Float32Array;
  /** The number of features of an embedding. */
  width: number;
  /** Each row's label or, for a multilabel head, each row's list of labels; [M]. */
  labels: readonly string[] | readonly (readonly string[])[];
  /** How much each row counts, above 0; [M]. @default 1 each */
  sampleWeights?: ArrayLike<number> | undefined;
  /** How much each class counts; not for lists of labels. @default 'none' */
  classWeights?: ClassWeights | undefined;
}

/**
 * Trains a head on embeddings: the W and b that minimise the weighted mean cross-entropy + λ/2 ‖W‖², found by L-BFGS from
 * zero. With lists of labels, the cross-entropy is the sum over labels of the binary ones. The same input gives the same
 * weights to the last bit on one machine. Classes are in code unit order, as in torchvision's ImageFolder. Standardisation
 * ignores weights.
 * @returns the head, with a report in `head.training` that says whether the optimum was reached
 * @throws {LastlayerError} if there are no rows or too few of a class or label, an embedding is not finite, lengths
 *   disagree, or there is no finite optimum
 * @throws {UsageError} if an option is out of its range
 * @throws the signal's reason, once it is aborted
 */
export async function trainHead(options: TrainHeadOptions): Promise<Head> {
  const { embeddings, width, labels, sampleWeights, classWeights } = options;
  checkFitOptions(options);
  checkEmbeddings(embeddings, width, labels, sampleWeights);
  const task: Task = labels.some((label) => typeof label !== 'string') ? multilabelTask : softmaxTask;
  const mask = () => true;
  const lists = labels.map((label) => (typeof label === 'string' ? [label] : label));
  const targets = task.encode(lists, mask);
  const weights = rowWeights({ task, ...targets, mask, sampleWeights, classWeights });
  const examples = { task, ...targets, weights, source: featuresInMemory(embeddings, width) };
  return HeadGraph.with(task, (graph) => fitHead(graph, examples, options));
}

function checkEmbeddings(
  embeddings: Float32Array,
  width: number,
  labels: readonly unknown[],
  weights: ArrayLike<number> | undefined,
): void {
  checkInteger('width', width, { min: 1, Failure: LastlayerError });
  if (embeddings.length === 0) {
    throw new LastlayerError('There are no embeddings to train on. Embed a data set first.');
  }
  if (embeddings.length % width !== 0) {
    throw new LastlayerError(
      `${embeddings.length} numbers do not make whole embeddings of ${width} each. Pass the rows one after another.`,
    );
  }
  const rows = embeddings.length / width;
  if (labels.length > 0 && labels.length !== rows) {
    throw new LastlayerError(`There are ${rows} embeddings but ${labels.length} labels. Pass one label a row.`);
  }
  if (weights && weights.length !== rows) {
    throw new LastlayerError(
      `There are ${rows} embeddings but ${weights.length} sample weights. Pass one weight a row, or none.`,
    );
  }
  const bad = embeddings.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new LastlayerError(
      `The embedding in row ${Math.floor(bad / width)} holds ${embeddings[bad]!}. Embed that picture again, or leave it out.`,
    );
  }
}

export interface TuneOptions extends FitHeadOptions {
  /** The rows to train on. */
  mask: RowMask;
  /** What each row belongs to, see `joinGroups`. Rows of one group are never on both sides of a fold; [M]. */
  groups: readonly string[];
  /** λ. @default chosen by cross-validation */
  l2?: number | undefined;
  /** How λ is chosen. @default 'best' */
  l2Rule?: L2Rule | undefined;
  /** K of K-fold cross-validation, 2 or more, or 0 for none. @default 5, 4 or 3, as the smallest class allows */
  folds?: number | undefined;
  /** Which pictures are called unknown. @default 0.05 */
  unknown?: UnknownRate | undefined;
  /** What the features are mapped by. @default learnt from the rows if `whiten` is on */
  transform?: HeadTransform | undefined;
  /** Called before each λ of cross-validation and before the final fit. */
  onFit?: ((progress: TuneProgress) => void) | undefined;
}

export interface TuneProgress extends FitProgress {
  phase: 'cross-validation' | 'final fit';
}

/** What cross-validation found. */
export interface HeldOutResult<Result> extends HeldOutEvaluation<Result> {
  folds: number;
  /** Undefined if λ was given. */
  rule: L2Rule | undefined;
  /** The λ that were tried, largest first. */
  path: PathPoint[];
  /** The λ that were given up, as they were no better. */
  givenUp: number[];
  chosen: PathPoint;
  /** Rows that took part: all training rows, or as many as fit in memory. */
  rows: number;
  /** Rows that had to stay in training, as their class or label is in no other group. */
  neverHeld: number;
  /** T */
  temperature: number;
}

export interface TunedHead<Result> {
  /** Trained on all masked rows; calibrated if there was cross-validation. */
  head: Head;
  /** Undefined if there was none. */
  crossValidation: HeldOutResult<Result> | undefined;
  /**
   * The folds, and their examples: those given, or a subset of them with the same row numbers. If the task has classes, also the
   * class means of each fold's training rows.
   */
  evaluatedOn: { examples: Examples; folds: Fold[]; means: Float32Array[] | undefined } | undefined;
}

/**
 * Trains the best head that the examples allow. λ is chosen by cross-validation, the head is trained on all masked rows,
 * and its temperature, what tells unknown pictures and the thresholds of its labels are fitted to the out-of-fold
 * predictions of the chosen λ. They are evaluated on the rows they were fitted to, but are so few numbers that the figures
 * are hardly too good; a label's threshold is evaluated on other folds than it was chosen on.
 * @param task that of the graph and of the examples
 * @throws {UsageError} if an option is out of its range
 * @throws as `fitHead` does
 */
export async function tuneHead<Result>(
  task: Task<Result>,
  graph: HeadGraph,
  examples: Examples,
  options: TuneOptions,
): Promise<TunedHead<Result>> {
  checkFitOptions(options);
  const { mask, onFit, unknown = DEFAULT_UNKNOWN } = options;
  checkUnknown(task, options);
  const found = await crossValidateRows(graph, examples, options);
  const l2 = options.l2 ?? found?.chosen.l2 ?? DEFAULT_L2;
  onFit?.({ phase: 'final fit', l2, fits: found?.fits ?? 0, left: 1 });
  const head = await fitHead(graph, examples, {
    ...options,
    l2,
    start: found && meanOf(found.models.map(({ x }) => x)),
    transform: found?.transform ?? options.transform,
    blocks: found?.examples === examples ? found.blocks : undefined,
    preconditioner: found?.preconditioner,
  });
  if (!found) return { head, crossValidation: undefined, evaluatedOn: undefined };

  const folds = foldsOf(found.mask, found.foldOf, found.folds);
  const masks = [found.mask, ...folds.map(trainingRows)];
  const [meansOfAll, ...meansOfFolds] = task.hasClasses ? await classMeansOfEach(found.examples, masks) : [];
  const similarities = meansOfAll && (await heldOutSimilarities(graph, found.examples, folds, meansOfFolds));
  const held = found.foldOf.reduce((n, fold, row) => (fold >= 0 && found.mask(row) ? n + 1 : n), 0);
  const temperature = fitTemperature(task, await sampleLogits(graph, found, held), examples.names.length);
  const rows = () => heldOutRows(graph, found, similarities);
  const evaluated = await task.evaluateHeldOut(rows, examples.names, { temperature, unknown });
  const means =
    evaluated.unknown && meansOfAll && (found.examples === examples ? meansOfAll : await classMeans(examples, mask));
  return {
    head: head.with({
      temperature,
      thresholds: evaluated.thresholds ?? null,
      unknown:
        evaluated.unknown && means
          ? {
              means: Matrix.from1DArray(head.labels.length, head.width, means),
              typical: evaluated.unknown.typical,
              rate: unknown,
            }
          : null,
    }),
    evaluatedOn: { examples: found.examples, folds, means: meansOfAll && meansOfFolds },
    crossValidation: {
      folds: found.folds,
      rule: options.l2 === undefined ? found.rule : undefined,
      path: found.path,
      givenUp: found.givenUp,
      chosen: found.chosen,
      rows: countRows(found.examples, found.mask),
      neverHeld: countRows(found.examples, found.mask) - held,
      temperature,
      ...evaluated,
    },
  };
}

/** @throws {UsageError} if pictures cannot be called unknown at the rate that is asked for, or not at all */
function checkUnknown({ hasClasses }: Pick<Task, 'hasClasses'>, { unknown, folds }: TuneOptions): void {
  if (unknown !== undefined) checkRate(unknown);
  if (typeof unknown !== 'number' || (hasClasses && folds !== 0)) return;
  const reason = hasClasses
    ? 'that takes cross-validation, and folds is 0'
    : 'a picture that shows none of its labels gets none';
  throw new UsageError(`There is a rate of unknown pictures (--unknown), but ${reason}. Leave it out.`);
}

async function crossValidateRows(
  graph: HeadGraph,
  examples: Examples,
  { folds: wanted, mask, groups, onFit, l2Rule, ...options }: TuneOptions,
): Promise<CrossValidation | undefined> {
  if (wanted === 0) return undefined;
  if (wanted !== undefined) checkInteger('folds', wanted, { min: 2, advice: 'Use 0 for none.' });
  const sampled = await sampleInMemory(examples, mask, groups);
  const strata = examples.task.strata(examples, sampled.mask);
  const { foldOf, folds } = stratifiedFolds({ strata, groups, folds: wanted });
  if (folds < 2) return undefined;
  return crossValidate(graph, sampled.examples, {
    ...options,
    mask: sampled.mask,
    foldOf,
    folds,
    rule: l2Rule,
    onFit: (progress) => {
      onFit?.({ ...progress, phase: 'cross-validation', left: progress.left + 1 });
    },
  });
}

/** A good start for the head of all rows, since each fold's head has seen most of them. */
function meanOf(vectors: readonly Float64Array[]): Float64Array | undefined {
  return vectors[0]?.map((_, i) => vectors.reduce((sum, x) => sum + x[i]!, 0) / vectors.length);
}

/** The temperature is fitted to at most this many logits: 64 MiB. If there are more, evenly spaced rows are taken. */
const MOST_LOGITS = 2 ** 24;

async function sampleLogits(
  graph: HeadGraph,
  found: CrossValidation,
  rows: number,
): Promise<(LogitRow & { weight: number })[]> {
  const { names, labelSets } = found.examples;
  const count = names.length;
  const step = Math.ceil((rows * count) / MOST_LOGITS);
  const chosen: (LogitRow & { weight: number })[] = [];
  let seen = 0;
  for await (const { logits, targets, weights } of heldOutLogits(graph, found)) {
    targets.forEach((target, i) => {
      if (seen++ % step !== 0) return;
      const row = logits.slice(i * count, (i + 1) * count);
      chosen.push({ logits: row, at: 0, labels: labelSets[target]!, weight: weights?.[i] ?? 1 });
    });
  }
  return chosen;
}

async function* heldOutRows(
  graph: HeadGraph,
  found: CrossValidation,
  similarities: Float64Array | undefined,
): AsyncGenerator<HeldOutRow> {
  const { names, labelSets } = found.examples;
  for await (const { fold, rows, targets, logits } of heldOutLogits(graph, found)) {
    for (const [i, target] of targets.entries()) {
      yield {
        fold,
        logits,
        at: i * names.length,
        labels: labelSets[target]!,
        similarity: similarities?.[rows[i]!] ?? NaN,
      };
    }
  }
}
