import {
  generateBlocks,
  momentsOf,
  partBlocks,
  type Examples,
  type Part,
  type PartBlock,
} from './examples.js';
import { fit } from './fit.js';
import { chooseL2, expectedLeft, isPastBest, l2Candidates, toPathPoint } from './l2-path.js';
import type { FoldScore, L2Rule, PathPoint } from './l2-path.js';
import { toParameters } from './objective.js';
import { argmax, logSumExp } from './softmax.js';
import type { SoftmaxGraph } from './softmax-graph.js';
import { scoreSets } from './score-sets.js';
import { preconditionerFor, type Preconditioner } from './preconditioner.js';
import { Moments, noScaling, type Scaling } from './standardize.js';

/** Coarser than the final fit's: it changes log losses by less than 0.0001, and takes half as long. */
const TOLERANCE = 1e-4;

export interface CrossValidationOptions {
  /** The rows to go by. */
  part: Part;
  /** Each row's fold; below 0 for rows that are never held out; [M]. */
  foldOf: Int32Array;
  folds: number;
  /** The one λ to judge; by default a path of them is gone along. */
  l2?: number;
  /** Default `best`. */
  rule?: L2Rule;
  labelSmoothing?: number;
  standardize?: boolean;
  /** Converged where the gradient's largest entry is at most this; default 1e-4. */
  tolerance?: number;
  signal?: AbortSignal;
  /** Called before each fit. */
  onFit?: (progress: FitProgress) => void;
}

export interface FitProgress {
  l2: number;
  /** Fits that are done. */
  fits: number;
  /** Fits that are still to be done, this one included, so far as one can tell. */
  left: number;
}

/** A head that has not seen one fold. */
export interface FoldModel {
  fold: number;
  /** W [N × D] then b [N], for features standardised by `scaling`. */
  x: Float64Array;
  /** Fitted to what the head was trained on, without the fold. */
  scaling: Scaling;
}

export interface CrossValidation {
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
export async function crossValidate(
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
        ...{ classes, width, l2, labelSmoothing, tolerance, allowSeparable: true },
        ...(sets && { sets }),
        ...(start && { start }),
        ...(preconditioner && { preconditioner }),
        ...(signal && { signal }),
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
export interface HeldOut extends PartBlock {
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
    if ((classes[row] ?? -1) < 0 || !part(row)) return -1;
    const fold = foldOf[row] ?? -1;
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
      const [at, c, w] = [i * count, classes[i] ?? 0, weights?.[i] ?? 1];
      result.weight += w;
      result.loss += w * (logSumExp(logits, at, count) - (logits[at + c] ?? 0));
      result.rows++;
      if (argmax(logits, at, count) === c) result.right++;
    }
  }
  return result;
}
