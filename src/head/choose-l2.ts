import type { FoldScore } from './task.js';

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

/** λ is a power of √10, of these exponents at the ends. */
const SMALLEST_EXPONENT = -10;
const FIRST_EXPONENT = -4;
const LARGEST_EXPONENT = 8;

/** A log loss has to fall by this many nats to count as better. Less makes no difference to anyone. */
export const BETTER = 1e-3;

/**
 * The λ to try next. First come powers of ten from 0.01 on, until the best has a worse one on both sides, as log loss has one valley
 * along λ; then the half power on the side of the better neighbour, where the least of a parabola through the three would be; then those
 * on both sides of the one that the rule chooses, if it is not the best.
 * @param tried in any order; a log loss of Infinity is one that was given up
 * @returns undefined if there is none
 */
export function nextL2(tried: readonly PathPoint[], rule: L2Rule): number | undefined {
  if (tried.length === 0) return lambda(FIRST_EXPONENT);
  const lossOf = new Map(tried.map(({ l2, logLoss }) => [exponentOf(l2), logLoss]));
  const isOpen = (exponent: number) =>
    exponent >= SMALLEST_EXPONENT && exponent <= LARGEST_EXPONENT && !lossOf.has(exponent);
  const powersOfTen = tried.filter(({ l2 }) => exponentOf(l2) % 2 === 0);
  const best = exponentOf(powersOfTen[chooseL2(powersOfTen, 'best')]!.l2);
  const chosen = exponentOf(tried[chooseL2(tried, rule)]!.l2);
  const [smaller, larger] = [lossOf.get(best - 2) ?? Infinity, lossOf.get(best + 2) ?? Infinity];
  const open = [
    best - 2,
    best + 2,
    smaller < larger ? best - 1 : best + 1,
    ...(rule === 'best' ? [] : [chosen - 1, chosen + 1]),
  ].find(isOpen);
  return open === undefined ? undefined : lambda(open);
}

function lambda(exponent: number): number {
  return Number((10 ** (exponent / 2)).toPrecision(3));
}

function exponentOf(l2: number): number {
  return Math.round(2 * Math.log10(l2));
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
