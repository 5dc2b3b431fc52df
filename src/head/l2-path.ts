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
export interface FoldScore {
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
