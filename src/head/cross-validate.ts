import { sum } from '../util/math.js';
import { BETTER, chooseL2, nextL2, toPathPoint, type L2Rule, type PathPoint } from './choose-l2.js';
import {
  countRows,
  countViews,
  evaluationBlocks,
  loadRows,
  trainingBlocks,
  type Blocks,
  type ExampleBlock,
  type Examples,
} from './examples.js';
import { foldsOf, type Fold } from './evaluate.js';
import { minimizeHeads } from './fit.js';
import { HeadObjective, toParameters, type Evaluated, type HeadGraph } from './objective.js';
import { preconditionerFor, type Preconditioner } from './preconditioner.js';
import { shuffledRows, stratifiedFolds, subsetOf } from './split.js';
import type { FoldScore, RowMask } from './task.js';
import { learnWhitening, noTransform, type HeadTransform } from './whiten.js';

export interface CrossValidationOptions {
  mask: RowMask;
  /** Each row's fold, below 0 for rows that are never held out; [M]. */
  foldOf: Int32Array;
  folds: number;
  /** The only λ to evaluate. @default those that {@link nextL2} gives */
  l2?: number | undefined;
  /** @default 'best' */
  rule?: L2Rule | undefined;
  labelSmoothing?: number | undefined;
  whiten?: boolean | undefined;
  /** What the features are mapped by. @default learnt from the rows if `whiten` is on */
  transform?: HeadTransform | undefined;
  /**
   * Converged once the gradient's largest entry is at most this.
   * @default 1e-4 or, for λ below 0.03, three thousandths of it, or earlier once the log loss on held-out rows has settled
   */
  tolerance?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called before each λ. */
  onFit?: ((progress: FitProgress) => void) | undefined;
}

export interface FitProgress {
  l2: number;
  /** Fits that are done: one for each fold and λ. */
  fits: number;
  /** Fits that are still to be done, these included, as far as one can tell. */
  left: number;
}

/** A head that has not seen one fold. */
interface FoldModel {
  fold: number;
  /** W [N × D] then b [N], for mapped features. */
  x: Float64Array;
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
  /** The λ that were given up, since held-out rows are told no better with them. */
  givenUp: number[];
  /** How many heads were trained. */
  fits: number;
  chosen: PathPoint;
  /** The heads of the chosen λ. */
  models: FoldModel[];
  /** What the features are mapped by, learnt from all rows. */
  transform: HeadTransform;
  /** The rows and their augmented views, mapped. */
  blocks: Blocks;
  /** What sped up the fits, if the data are large enough. */
  preconditioner: Preconditioner | undefined;
}

/** A λ that was tried. */
interface Tried extends PathPoint {
  /** Its heads by fold; of the first fold alone while `isWhole` is false. */
  models: FoldModel[];
  /** The log loss at which its fits ended: with augmented views, and folds count alike. Infinity if it was given up. */
  watched: number;
  /** How much each row of the first fold adds to the mean log loss, times their number; only of a λ that was explored. */
  losses?: Float64Array | undefined;
  /** Whether all folds were trained on until their log loss settled, so that the figures are those of cross-validation. */
  isWhole: boolean;
}

/**
 * Chooses λ by K-fold cross-validation: for each fold, a head is trained on all the others, and log loss is measured on the fold.
 * Where there are many rows and classes, the first fold alone finds the λ that may be the best, roughly, and only these are
 * cross-validated. The features are whitened alike for all folds, from all rows, whose labels play no part in it.
 * @throws as {@link minimizeHeads} does
 */
export async function crossValidate(
  graph: HeadGraph,
  examples: Examples,
  options: CrossValidationOptions,
): Promise<CrossValidation> {
  const { folds, mask, rule = 'best', onFit } = options;
  const fits = await FoldFits.create(graph, examples, options);
  const tried: Tried[] = [];
  let done = 0;
  const progress = (l2: number, now: number, left: number) => {
    onFit?.({ l2, fits: done, left });
    done += now;
  };
  if (options.l2 !== undefined) {
    progress(options.l2, folds, folds);
    tried.push(await fits.crossValidate(options.l2, undefined, Infinity));
  } else {
    for (let l2 = nextL2(tried, rule); l2 !== undefined; l2 = nextL2(tried, rule)) {
      const later = Math.max(1, USUAL_LENGTH - tried.length);
      const [now, left] = fits.areMany ? [1, later + USUAL_CONTENDERS * folds] : [folds, later * folds];
      progress(l2, now, left);
      const start = nearest(tried, l2);
      const best = Math.min(...tried.map(({ watched }) => watched));
      tried.push(
        fits.areMany
          ? await fits.explore(l2, start, best + HOPELESS_ON_FIRST)
          : await fits.crossValidate(l2, start, best + HOPELESS),
      );
    }
    const contenders = contendersOf(tried, rule, folds);
    const whole: Tried[] = [];
    for (let next = nextContender(contenders, whole, rule); next; next = nextContender(contenders, whole, rule)) {
      progress(next.l2, folds, (whole.length > 0 ? 1 : USUAL_CONTENDERS) * folds);
      whole.push(await fits.crossValidate(next.l2, nearest(whole, next.l2) ?? next, hopelessFor(next, whole, rule)));
    }
    for (const each of whole) tried[tried.findIndex(({ l2 }) => l2 === each.l2)] = each;
  }
  const complete = tried.filter(({ isWhole }) => isWhole).sort((a, b) => b.l2 - a.l2);
  const path = complete.map(({ l2, logLoss, standardError, accuracy }) => ({ l2, logLoss, standardError, accuracy }));
  const index = chooseL2(path, rule);
  return {
    examples,
    mask,
    foldOf: options.foldOf,
    folds,
    rule,
    path,
    givenUp: tried
      .filter(({ isWhole }) => !isWhole)
      .map(({ l2 }) => l2)
      .sort((a, b) => b - a),
    fits: done,
    chosen: path[index]!,
    models: complete[index]!.models,
    transform: fits.transform,
    blocks: fits.blocks,
    preconditioner: fits.preconditioner,
  };
}

/** A λ is given up on the first fold once its log loss is this much above the best one's, in nats, and still rising. */
const HOPELESS_ON_FIRST = 0.02;

/**
 * The λ to cross-validate: those whose log loss on the first fold is within a standard error of the best one's, or one that the rule
 * may choose. The error is that of the rows' differences, which is far less than that of either log loss.
 * @param tried those that were explored, and any others
 */
function contendersOf(tried: readonly Tried[], rule: L2Rule, folds: number): Tried[] {
  const explored = tried.filter((each) => each.losses);
  const best = explored.find(({ logLoss }) => logLoss === lowest(explored));
  const margin = best && rule === 'one-se' ? standardError(best.losses!) / Math.sqrt(folds) : 0;
  return explored.filter(({ losses, logLoss }) => {
    const noise = standardError(losses!.map((loss, i) => loss - best!.losses![i]!));
    return logLoss - best!.logLoss <= Math.max(noise, ROUGHLY_SETTLED) + margin;
  });
}

/** Of the mean of some values. */
function standardError(values: Float64Array): number {
  const centre = sum(values) / values.length;
  return Math.sqrt(sum(values.map((value) => (value - centre) ** 2)) / values.length / (values.length - 1));
}

/**
 * The contender to cross-validate next: the largest, whose fits are the quickest, then the neighbours of the best so far, as log loss
 * has one valley along λ, and those of the one that the rule chooses.
 * @param contenders by the first fold alone
 * @param whole those that were cross-validated
 */
function nextContender(contenders: readonly Tried[], whole: readonly Tried[], rule: L2Rule): Tried | undefined {
  const largestFirst = contenders.toSorted((a, b) => b.l2 - a.l2);
  if (whole.length === 0) return largestFirst[0];
  for (const by of ['best', rule] as const) {
    const chosen = whole[chooseL2(whole, by)]!;
    const at = largestFirst.findIndex(({ l2 }) => l2 === chosen.l2);
    const isOpen = (each: Tried | undefined) => each && !whole.some(({ l2 }) => l2 === each.l2);
    const next = [largestFirst[at - 1], largestFirst[at + 1]].find(isOpen);
    if (next) return next;
  }
  return undefined;
}

/** The log loss at which a contender is given up if it still rises, as {@link chooseL2} would not take it. */
function hopelessFor({ l2 }: Tried, whole: readonly Tried[], rule: L2Rule): number {
  if (whole.length === 0) return Infinity;
  const best = whole[chooseL2(whole, 'best')]!;
  if (rule !== 'best') return best.watched + HOPELESS;
  return best.watched + (l2 < best.l2 ? -BETTER : BETTER);
}

/** With fewer held-out rows, one fold alone tells too little. */
const LEAST_TO_EXPLORE = 1_000;

/** How many λ are tried for most data. */
const USUAL_LENGTH = 6;

/** How many λ are cross-validated for most data. */
const USUAL_CONTENDERS = 2;

function lowest(tried: readonly Tried[]): number {
  return Math.min(...tried.map(({ logLoss }) => logLoss));
}

/** Of the λ that were not given up, the nearest one: its optima are a good start. */
function nearest(tried: readonly Tried[], l2: number): Tried | undefined {
  const distance = (other: number) => Math.abs(Math.log(other / l2));
  return tried.filter(({ logLoss }) => logLoss < Infinity).sort((a, b) => distance(a.l2) - distance(b.l2))[0];
}

/** Trains heads that leave out a fold each. */
class FoldFits {
  private constructor(
    private readonly graph: HeadGraph,
    private readonly examples: Examples,
    private readonly options: CrossValidationOptions,
    readonly blocks: Blocks,
    readonly transform: HeadTransform,
    /** If there are so many rows and classes that it pays. */
    readonly preconditioner: Preconditioner | undefined,
    /** Whether it pays to try a λ on the first fold before all of them, and that has enough rows to tell. */
    readonly areMany: boolean,
  ) {}

  /** Objectives by the folds that their heads leave out: making one reads all rows. */
  private readonly objectives = new Map<string, Promise<HeadObjective>>();

  static async create(graph: HeadGraph, examples: Examples, options: CrossValidationOptions): Promise<FoldFits> {
    const { foldOf, folds, mask } = options;
    const learn = () => (options.whiten === false ? noTransform : learnWhitening(graph, examples, mask));
    const transform = options.transform ?? (await learn());
    const preconditioner = preconditionerFor(graph, examples, mask, transform, folds);
    const blocks = await trainingBlocks(examples, mask, transform, folds);
    const held = countRows(examples, (row) => foldOf[row] === 0 && mask(row));
    const areMany = preconditioner !== undefined && held >= LEAST_TO_EXPLORE;
    return new FoldFits(graph, examples, options, blocks, transform, preconditioner, areMany);
  }

  /** Trains on the first fold, until its log loss has roughly settled. */
  async explore(l2: number, start: Tried | undefined, hopeless: number): Promise<Tried> {
    const { graph, examples, transform, blocks } = this;
    const { mask, foldOf } = this.options;
    const [models, watch] = await this.fit(l2, [0], start, { settled: ROUGHLY_SETTLED, hopeless });
    const tried = { l2, standardError: 0, accuracy: 0, models, isWhole: false };
    if (watch.isHopeless) return { ...tried, logLoss: Infinity, watched: Infinity };
    const losses = await rowLosses(graph, { examples, mask, foldOf, models, transform, blocks });
    return { ...tried, logLoss: sum(losses) / losses.length, watched: watch.last, losses };
  }

  /**
   * Trains on all folds: those that `start` has heads of from there, the others from zero. Another fold's head has seen their rows, and
   * its log loss there takes longer to settle.
   */
  async crossValidate(l2: number, start: Tried | undefined, hopeless: number): Promise<Tried> {
    const { graph, examples, transform, blocks } = this;
    const { folds, foldOf, mask } = this.options;
    const heads = headsAtOnce(folds, examples.names.length, examples.source.width);
    const all = Array.from({ length: folds }, (_, fold) => fold);
    const isKnown = (fold: number) => start?.models.some((model) => model.fold === fold) === true;
    const together = [all.filter(isKnown), all.filter((fold) => !isKnown(fold))].flatMap((some) =>
      Array.from({ length: Math.ceil(some.length / heads) }, (_, i) => some.slice(i * heads, (i + 1) * heads)),
    );
    const models: FoldModel[] = [];
    let watched = 0;
    for (const some of together) {
      const isAll = some.length === folds;
      const [found, watch] = await this.fit(l2, some, start, {
        settled: SETTLED,
        hopeless: isAll ? hopeless : Infinity,
      });
      if (watch.isHopeless) {
        const [logLoss, watched] = [Infinity, Infinity];
        return { l2, logLoss, watched, standardError: 0, accuracy: 0, models: found, isWhole: false };
      }
      watched += (watch.last * some.length) / folds;
      models.push(...found);
    }
    const scores: FoldScore[] = [];
    for (const model of models) {
      scores.push(await scoreOf(graph, { examples, mask, foldOf, models: [model], transform, blocks }));
    }
    return { ...toPathPoint(l2, scores), watched, models, isWhole: true };
  }

  private async fit(
    l2: number,
    folds: readonly number[],
    start: Tried | undefined,
    { settled, hopeless }: { settled: number; hopeless: number },
  ): Promise<[FoldModel[], HeldOutLoss]> {
    const { examples, preconditioner } = this;
    const { tolerance, signal } = this.options;
    const size = examples.names.length * (examples.source.width + 1);
    const watch = new HeldOutLoss(hopeless);
    const finest = tolerance ?? Math.max(TOLERANCE.least, Math.min(TOLERANCE.most, TOLERANCE.shareOfL2 * l2));
    const hasSettled = () =>
      this.areMany
        ? watch.hasSettled(settled)
        : watch.hasSettled(settled / 2) && watch.gradientNorm <= COARSER * finest;
    const from = (fold: number) => start?.models.find((model) => model.fold === fold);
    const found = await minimizeHeads(await this.objectiveOf(folds), {
      l2,
      starts: folds.map((fold) => from(fold)?.x ?? new Float64Array(size)),
      tolerance: finest,
      preconditioner,
      onEvaluation: (heads) => {
        watch.add(heads);
      },
      isEnough: () => (tolerance === undefined && hasSettled()) || watch.isHopeless,
      signal,
    });
    return [found.map(({ x }, i) => ({ fold: folds[i]!, x })), watch];
  }

  private objectiveOf(folds: readonly number[]): Promise<HeadObjective> {
    const { names, labelSets, source } = this.examples;
    const { foldOf, labelSmoothing } = this.options;
    const known = this.objectives.get(folds.join());
    const objective =
      known ??
      HeadObjective.create(this.graph, this.blocks, {
        count: names.length,
        labelSets,
        width: source.width,
        labelSmoothing,
        leftOut: { foldOf, folds },
      });
    this.objectives.set(folds.join(), objective);
    return objective;
  }
}

/** Bytes that the optimiser's vectors of all heads together may take. */
const OPTIMISER_BYTES = 2 ** 28;

/** About how many vectors of parameters the optimiser keeps for a head. */
const OPTIMISER_VECTORS = 24;

/** How many heads are trained at once: as many as there is memory for. */
function headsAtOnce(folds: number, count: number, width: number): number {
  const bytes = OPTIMISER_VECTORS * 8 * count * (width + 1);
  return Math.max(1, Math.min(folds, Math.floor(OPTIMISER_BYTES / bytes)));
}

/**
 * The gradient's largest entry at which a fit ends, coarser than for the final one: a share of λ, as the weights are up to ‖∇f‖ / λ
 * from their optimum, up to a bound, and no less than what float32 can reach. Mostly the held-out log loss settles first.
 */
const TOLERANCE = { most: 1e-4, shareOfL2: 3e-3, least: 1e-7 };

/** Held-out log loss on few rows may rest for a while, so there it counts as settled only if the gradient is within this of the tolerance. */
const COARSER = 10;

/** Held-out log loss has settled once it changes by no more than this, in nats or relatively, over several evaluations. */
const RELATIVELY = 0.01;
const SETTLED = 1e-3;
const ROUGHLY_SETTLED = 3e-3;
const LEAST_EVALUATIONS = 8;
const SHARE_OF_EVALUATIONS = 0.25;

/** A λ is given up once held-out log loss is this much above the best one's, in nats, and still rising. */
const HOPELESS = 0.01;
const RISING = 5;

/** The mean log loss on held-out rows as the optimiser goes on. */
class HeldOutLoss {
  private readonly losses: number[] = [];
  /** The largest of the heads' last ones. */
  gradientNorm = Infinity;
  /** Whether it was above `hopeless` and rising. Once it was, all heads end, also those in the middle of a line search. */
  isHopeless = false;

  constructor(private readonly hopeless: number) {}

  add(heads: Evaluated['heads']): void {
    this.losses.push(sum(heads.map(({ heldOut }) => heldOut)) / heads.length);
    this.gradientNorm = Math.max(...heads.map(({ gradientNorm }) => gradientNorm));
    this.isHopeless ||= this.isAboveAndRising;
  }

  get last(): number {
    return this.losses.at(-1)!;
  }

  hasSettled(within: number): boolean {
    const recent = Math.max(LEAST_EVALUATIONS, Math.ceil(SHARE_OF_EVALUATIONS * this.losses.length));
    const last = this.losses.slice(-recent);
    return last.length === recent && Math.max(...last) - Math.min(...last) <= Math.min(within, RELATIVELY * this.last);
  }

  private get isAboveAndRising(): boolean {
    const { losses, hopeless } = this;
    if (losses.length < LEAST_EVALUATIONS) return false;
    const last = losses.slice(-RISING);
    return last.every((each, i) => each > hopeless && (i === 0 || each > last[i - 1]!));
  }
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

/** How much each held-out row adds to the mean log loss, times their number. */
async function rowLosses(graph: HeadGraph, heldOut: Parameters<typeof heldOutLogits>[1]): Promise<Float64Array> {
  const { task, names, labelSets } = heldOut.examples;
  const scores: FoldScore[] = [];
  for await (const { logits, targets, weights } of heldOutLogits(graph, heldOut)) {
    targets.forEach((target, i) => {
      const score = { weight: 0, loss: 0, rows: 0, right: 0 };
      const row = { logits, at: i * names.length, labels: labelSets[target]! };
      task.score(score, row, names.length, weights?.[i] ?? 1);
      scores.push(score);
    });
  }
  const meanWeight = sum(scores.map(({ weight }) => weight)) / scores.length;
  return Float64Array.from(scores, ({ loss }) => loss / meanWeight);
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
  {
    examples,
    mask,
    foldOf,
    models,
    transform,
    blocks,
  }: Pick<CrossValidation, 'examples' | 'mask' | 'foldOf' | 'models' | 'transform' | 'blocks'>,
): AsyncGenerator<HeldOutBlock> {
  for (const { fold, x } of models) {
    const parameters = toParameters(x, examples.names.length);
    const isHeldOut = (row: number) => mask(row) && foldOf[row] === fold;
    for await (const block of evaluationBlocks(examples, isHeldOut, transform, blocks)) {
      yield { ...block, fold, logits: await graph.logits(block.features, parameters) };
    }
  }
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
  /** Of every fit, see {@link CrossValidationOptions}. */
  tolerance?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called before each λ. */
  onFit?: ((progress: FitProgress) => void) | undefined;
}

export interface OutOfFold {
  folds: Fold[];
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
  const folds = foldsOf(found.mask, found.foldOf, found.folds);
  return { folds, l2: chosen, predictions: () => heldOutLogits(graph, found) };
}
