import { searchLine, type Trial } from './line-search.js';
import { addScaled, difference, dot, infinityNorm, scale } from './vector.js';

/** A smooth function and its gradient at x, both of which it may compute with rounding errors. */
export type Objective = (x: Float64Array) => Promise<{ loss: number; gradient: Float64Array }>;

/** What is known after an iteration. */
export interface Iteration {
  /** From 1. */
  iteration: number;
  loss: number;
  /** ‖∇f‖∞ */
  gradientNorm: number;
}

export interface LbfgsOptions {
  /** Converged where ‖∇f‖∞ is at most this; default 1e-5. */
  tolerance?: number;
  /** Default 1000. */
  maxIterations?: number;
  /** Correction pairs that are remembered; default 10. */
  history?: number;
  /** The error to expect of a loss, below which the line search goes by slopes; default 0. */
  noise?: number;
  /** H₀ v, with a symmetric and positive definite approximation of the Hessian's inverse; default v itself. */
  precondition?: (v: Float64Array) => Promise<Float64Array>;
  signal?: AbortSignal;
  onIteration?: (progress: Iteration) => void;
}

/**
 * Why the optimiser stopped: `gradient`, the gradient is within the tolerance; `max-iterations`; or `line-search`, no
 * better point was found, mostly because the tolerance is finer than the objective's own rounding errors.
 */
export type StopReason = 'gradient' | 'max-iterations' | 'line-search';

export interface LbfgsResult {
  x: Float64Array;
  loss: number;
  /** ‖∇f(x)‖∞ as it was last computed, at this very x. */
  gradientNorm: number;
  iterations: number;
  /** How often the objective was computed. */
  evaluations: number;
  /** True only where gradientNorm ≤ tolerance. */
  converged: boolean;
  reason: StopReason;
}

interface Point extends Trial {
  x: Float64Array;
  gradient: Float64Array;
}

/** s = xₖ₊₁ − xₖ, y = ∇fₖ₊₁ − ∇fₖ and ρ = 1 / yᵀs. */
interface CorrectionPair {
  s: Float64Array;
  y: Float64Array;
  rho: number;
}

/**
 * Minimises a smooth function by L-BFGS (Nocedal and Wright, Numerical Optimization, 2nd edition, algorithms 7.4 and
 * 7.5) with a strong-Wolfe line search. Vectors are float64. Does no random thing, so is as deterministic as f.
 * @param start where to start; left as it is
 * @returns the last point, be it converged or not: see `converged` and `reason`
 * @throws {RangeError} where f or its gradient is not finite at the start
 * @throws the signal's reason, once it is aborted
 */
export async function minimizeLbfgs(
  objective: Objective,
  start: Float64Array,
  options: LbfgsOptions = {},
): Promise<LbfgsResult> {
  const { tolerance = 1e-5, maxIterations = 1000, history = 10, noise = 0, signal, onIteration } = options;
  const { precondition } = options;
  let evaluations = 0;

  const evaluate = async (x: Float64Array, step: number, direction?: Float64Array): Promise<Point> => {
    signal?.throwIfAborted();
    evaluations++;
    const { loss, gradient } = await objective(x);
    return { x, step, loss, gradient, slope: direction ? dot(gradient, direction) : 0 };
  };
  const search = async (from: Point, direction: Float64Array, firstStep: number) => {
    const origin = { ...from, step: 0, slope: dot(from.gradient, direction) };
    if (!(origin.slope < 0)) return undefined;
    const at = (step: number): Promise<Point> => {
      const x = from.x.slice();
      addScaled(x, step, direction);
      return evaluate(x, step, direction);
    };
    return searchLine(at, origin, firstStep, noise);
  };

  let point = await evaluate(start.slice(), 0);
  let gradientNorm = infinityNorm(point.gradient);
  if (!Number.isFinite(point.loss) || !Number.isFinite(gradientNorm)) {
    throw new RangeError(
      `The objective is not finite at the start: ${point.loss}, gradient ${gradientNorm}.`,
    );
  }
  const pairs: CorrectionPair[] = [];
  for (let iteration = 0; ; iteration++) {
    const converged = gradientNorm <= tolerance;
    const finish = (reason: StopReason): LbfgsResult => {
      const { x, loss } = point;
      return { x, loss, gradientNorm, iterations: iteration, evaluations, converged, reason };
    };
    if (converged) return finish('gradient');
    if (iteration >= maxIterations) return finish('max-iterations');

    let next =
      pairs.length > 0 || precondition
        ? await search(point, await quasiNewtonDirection(point.gradient, pairs, precondition), 1)
        : undefined;
    if (!next) {
      // At the start, or where rounding errors have spoilt the remembered curvature: steepest descent.
      pairs.length = 0;
      const steepest = point.gradient.slice();
      scale(steepest, -1);
      next = await search(point, steepest, Math.min(1, 1 / Math.sqrt(dot(steepest, steepest))));
    }
    if (!next) return finish('line-search');

    remember(pairs, point, next, history);
    point = next;
    gradientNorm = infinityNorm(point.gradient);
    onIteration?.({ iteration: iteration + 1, loss: point.loss, gradientNorm });
  }
}

/**
 * −H ∇f by the two-loop recursion (algorithm 7.4), with H₀ = (sᵀy / yᵀy) I of the newest pair (equation 7.20) or, where
 * there is another approximation P, the like multiple (sᵀy / yᵀPy) P of it.
 */
async function quasiNewtonDirection(
  gradient: Float64Array,
  pairs: readonly CorrectionPair[],
  precondition: LbfgsOptions['precondition'],
): Promise<Float64Array> {
  const q = gradient.slice();
  const alphas: number[] = [];
  for (const { s, y, rho } of pairs.toReversed()) {
    const alpha = rho * dot(s, q);
    alphas.push(alpha);
    addScaled(q, -alpha, y);
  }
  const newest = pairs.at(-1);
  const direction = precondition ? await precondition(q) : q;
  if (newest) {
    const y = precondition ? await precondition(newest.y) : newest.y;
    scale(direction, 1 / (newest.rho * dot(newest.y, y)));
  }
  for (const { s, y, rho } of pairs) {
    const beta = rho * dot(y, direction);
    addScaled(direction, (alphas.pop() ?? 0) - beta, s);
  }
  scale(direction, -1);
  return direction;
}

/** Keeps the newest pairs. One without positive curvature, which only rounding errors can give, would spoil H. */
function remember(pairs: CorrectionPair[], from: Point, to: Point, history: number): void {
  const s = difference(to.x, from.x);
  const y = difference(to.gradient, from.gradient);
  const curvature = dot(s, y);
  if (!(curvature > Number.EPSILON * dot(y, y))) return;
  pairs.push({ s, y, rho: 1 / curvature });
  if (pairs.length > history) pairs.shift();
}
