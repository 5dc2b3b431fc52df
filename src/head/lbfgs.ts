import { addScaled, addTwoScaled, dot, dots, infinityNorm, scale, subtract } from '../util/math.js';

/**
 * A smooth function and its gradient at x, both of which it may compute with rounding errors.
 * @param x written over later
 * @param into may take the gradient. Either way the optimiser writes over the gradient later
 */
export type Objective = (x: Float64Array, into: Float64Array | undefined) => Promise<Value>;

export interface Value {
  loss: number;
  gradient: Float64Array;
  /** What is compared with the tolerance. @default ‖gradient‖∞ */
  gradientNorm?: number | undefined;
}

/** What is known after an iteration. */
export interface Iteration {
  /** From 1. */
  iteration: number;
  loss: number;
  /** ‖∇f‖∞ */
  gradientNorm: number;
}

interface LbfgsOptions {
  /** Converged once ‖∇f‖∞ is at most this. @default 1e-5 */
  tolerance?: number | undefined;
  /** @default 1000 */
  maxIterations?: number | undefined;
  /** How many correction pairs to keep: 10 save one iteration in 20, and take longer. @default 6 */
  history?: number | undefined;
  /** The rounding error of a loss. Below it, the line search compares slopes. @default 0 */
  noise?: number | undefined;
  /** Asked before each iteration whether the point is good enough. */
  isEnough?: (() => boolean) | undefined;
  signal?: AbortSignal | undefined;
  onIteration?: ((progress: Iteration) => void) | undefined;
}

/**
 * Why the optimiser stopped: `gradient`, the gradient is within the tolerance; `max-iterations`; `enough`, as `isEnough` said; or
 * `line-search`, it found no better point, mostly because the tolerance is finer than the objective's own rounding errors.
 */
export type StopReason = 'gradient' | 'max-iterations' | 'enough' | 'line-search';

export interface LbfgsResult {
  x: Float64Array;
  loss: number;
  /** ‖∇f(x)‖∞ */
  gradientNorm: number;
  iterations: number;
  /** How often the objective was computed. */
  evaluations: number;
  /** Whether gradientNorm ≤ tolerance, or the point is good enough. */
  converged: boolean;
  reason: StopReason;
}

interface Point extends Trial {
  x: Float64Array;
  gradient: Float64Array;
  gradientNorm: number;
}

/** s = xₖ₊₁ − xₖ and y = ∇fₖ₊₁ − ∇fₖ, with sᵀy and yᵀy. */
interface CorrectionPair {
  s: Float64Array;
  y: Float64Array;
  sy: number;
  yy: number;
  /** sᵀ∇f and yᵀ∇f where the last direction was asked for. */
  sg: number;
  yg: number;
  /** For each older pair, the product of its s, and that of its y, with this y. */
  older: { sy: number; yy: number }[];
}

/**
 * Minimises a smooth function by L-BFGS (Nocedal and Wright, Numerical Optimization, 2nd edition, algorithms 7.4 and
 * 7.5) with a strong-Wolfe line search. Vectors are float64. Deterministic if f is.
 * @param start where to start; not changed
 * @returns the last point, be it converged or not: see `converged` and `reason`
 * @throws {RangeError} if f or its gradient is not finite at the start
 * @throws the signal's reason, once it is aborted
 */
export async function minimizeLbfgs(
  objective: Objective,
  start: Float64Array,
  options: LbfgsOptions = {},
): Promise<LbfgsResult> {
  const { tolerance = 1e-5, maxIterations = 1000, history = 6, noise = 0, isEnough, signal, onIteration } = options;
  let evaluations = 0;
  // Vectors of points that were left, to use again, as new ones all the time would be collected as garbage all the time.
  const spare: Float64Array[] = [];

  const evaluate = async (x: Float64Array, step: number, direction?: Float64Array): Promise<Point> => {
    signal?.throwIfAborted();
    evaluations++;
    const { loss, gradient, gradientNorm = infinityNorm(gradient) } = await objective(x, spare.pop());
    return { x, step, loss, gradient, gradientNorm, slope: direction ? dot(gradient, direction) : 0 };
  };
  const search = async (from: Point, direction: Float64Array, firstStep: number) => {
    const origin = { ...from, step: 0, slope: dot(from.gradient, direction) };
    if (!(origin.slope < 0)) return undefined;
    const at = (step: number): Promise<Point> => {
      const x = spare.pop() ?? new Float64Array(from.x.length);
      x.set(from.x);
      addScaled(x, step, direction);
      return evaluate(x, step, direction);
    };
    return searchLine(at, origin, firstStep, noise);
  };

  let point = await evaluate(start.slice(), 0);
  if (!Number.isFinite(point.loss) || !Number.isFinite(point.gradientNorm)) {
    throw new RangeError(`The objective is not finite at the start: ${point.loss}, gradient ${point.gradientNorm}.`);
  }
  const corrections = new Corrections(history);
  for (let iteration = 0; ; iteration++) {
    const converged = point.gradientNorm <= tolerance;
    const finish = (reason: StopReason): LbfgsResult => {
      const { x, loss, gradientNorm } = point;
      const isDone = converged || reason === 'enough';
      return { x, loss, gradientNorm, iterations: iteration, evaluations, converged: isDone, reason };
    };
    if (converged) return finish('gradient');
    if (isEnough?.()) return finish('enough');
    if (iteration >= maxIterations) return finish('max-iterations');

    let next = corrections.isEmpty ? undefined : await search(point, corrections.direction(point.gradient), 1);
    if (!next) {
      // At the start, or once rounding errors have spoilt the remembered curvature: steepest descent.
      corrections.clear();
      const steepest = point.gradient.slice();
      scale(steepest, -1);
      next = await search(point, steepest, Math.min(1, 1 / Math.sqrt(dot(steepest, steepest))));
    }
    if (!next) return finish('line-search');

    corrections.add(point, next);
    spare.push(point.x, point.gradient);
    point = next;
    onIteration?.({ iteration: iteration + 1, loss: point.loss, gradientNorm: point.gradientNorm });
  }
}

/**
 * Minimises several functions at once, as {@link minimizeLbfgs} does each, for functions that take less time to evaluate together
 * than one by one.
 * @param objective their values at a point each; those of functions that are done are not used
 * @throws as {@link minimizeLbfgs} does
 */
export async function minimizeTogether(
  objective: (
    points: readonly Float64Array[],
    into: readonly (Float64Array | undefined)[],
  ) => Promise<readonly Value[]>,
  starts: readonly Float64Array[],
  options: LbfgsOptions = {},
): Promise<LbfgsResult[]> {
  interface Request {
    resolve: (value: Value) => void;
    reject: (error: unknown) => void;
  }
  const points = [...starts];
  const into: (Float64Array | undefined)[] = starts.map(() => undefined);
  let requests = new Map<number, Request>();
  let left = starts.length;
  const evaluateOnceAllAsk = () => {
    if (left === 0 || requests.size < left) return;
    const asked = requests;
    requests = new Map();
    objective(points, into).then(
      (values) => {
        for (const [k, { resolve }] of asked) resolve(values[k]!);
      },
      (error: unknown) => {
        for (const { reject } of asked.values()) reject(error);
      },
    );
  };
  const minimize = async (start: Float64Array, k: number): Promise<LbfgsResult> => {
    const ask: Objective = (x, gradient) =>
      new Promise((resolve, reject) => {
        points[k] = x;
        into[k] = gradient;
        requests.set(k, { resolve, reject });
        evaluateOnceAllAsk();
      });
    try {
      return await minimizeLbfgs(ask, start, options);
    } finally {
      left--;
      into[k] = undefined;
      evaluateOnceAllAsk();
    }
  };
  return Promise.all(starts.map(minimize));
}

/**
 * The newest correction pairs, and −H ∇f from them by the two-loop recursion (algorithm 7.4), with H₀ = (sᵀy / yᵀy) I of the newest
 * pair (equation 7.20). The recursion needs only the products of s, y and ∇f with each other (Chen et al. 2014, "Large-scale L-BFGS
 * using MapReduce"), and those of a pair with older ones are differences of theirs with ∇f, so each vector is read twice, not four
 * times.
 */
class Corrections {
  /** Oldest first. */
  private readonly pairs: CorrectionPair[] = [];
  // Vectors to use again, as new ones all the time would be collected as garbage all the time.
  private spare: Pick<CorrectionPair, 's' | 'y'> | undefined;
  private result: Float64Array | undefined;

  constructor(private readonly most: number) {}

  get isEmpty(): boolean {
    return this.pairs.length === 0;
  }

  clear(): void {
    this.pairs.length = 0;
  }

  /**
   * Keeps what a step found. A pair without positive curvature, which only rounding errors can give, would spoil H.
   * @param from where the last direction was asked for, if there are pairs
   */
  add(from: Point, to: Point): void {
    const { pairs } = this;
    const size = to.x.length;
    const { s, y } = this.spare ?? { s: new Float64Array(size), y: new Float64Array(size) };
    subtract(s, to.x, from.x);
    subtract(y, to.gradient, from.gradient);
    const [sy, yy] = dots(s, y, y);
    this.spare = { s, y };
    if (!(sy > Number.EPSILON * yy)) return;
    this.spare = undefined;
    if (pairs.length === this.most) {
      this.spare = pairs.shift();
      for (const { older } of pairs) older.shift();
    }
    pairs.push({ s, y, sy, yy, sg: 0, yg: 0, older: [] });
  }

  /**
   * @param gradient at the last point
   * @returns −H ∇f, until the next one is asked for
   */
  direction(gradient: Float64Array): Float64Array {
    const { pairs } = this;
    const newest = pairs.at(-1)!;
    const isNew = newest.older.length < pairs.length - 1;
    for (const pair of pairs) {
      const [sg, yg] = dots(pair.s, pair.y, gradient);
      if (isNew && pair !== newest) newest.older.push({ sy: sg - pair.sg, yy: yg - pair.yg });
      Object.assign(pair, { sg, yg });
    }
    const last = pairs.length - 1;
    const scaling = newest.sy / newest.yy;
    const alphas = pairs.map(() => 0);
    for (let i = last; i >= 0; i--) {
      let product = pairs[i]!.sg;
      for (let j = i + 1; j <= last; j++) product -= alphas[j]! * pairs[j]!.older[i]!.sy;
      alphas[i] = product / pairs[i]!.sy;
    }
    const gammas = pairs.map(() => 0);
    for (let i = 0; i <= last; i++) {
      const { yg, yy, sy, older } = pairs[i]!;
      let product = yg - alphas[i]! * yy;
      for (let j = 0; j < i; j++) product -= alphas[j]! * older[j]!.yy;
      for (let j = i + 1; j <= last; j++) product -= alphas[j]! * pairs[j]!.older[i]!.yy;
      product *= scaling;
      for (let j = 0; j < i; j++) product += gammas[j]! * older[j]!.sy;
      gammas[i] = alphas[i]! - product / sy;
    }
    const direction = (this.result ??= new Float64Array(gradient.length));
    direction.fill(0);
    addScaled(direction, -scaling, gradient);
    pairs.forEach(({ s, y }, i) => {
      addTwoScaled(direction, -gammas[i]!, s, scaling * alphas[i]!, y);
    });
    return direction;
  }
}

/** Sufficient decrease and curvature: Nocedal and Wright's values for quasi-Newton methods (section 3.1). */
const C1 = 1e-4;
const C2 = 0.9;
const MAX_TRIALS = 25;
const EXPANSION = 4;

/** A point on the line: φ(step) is the loss there, and φ′(step) its slope along the direction. */
export interface Trial {
  step: number;
  loss: number;
  slope: number;
}

/**
 * Finds a step that satisfies the strong Wolfe conditions
 *   φ(α) ≤ φ(0) + c₁ α φ′(0)  and  |φ′(α)| ≤ c₂ |φ′(0)|
 * (Nocedal and Wright, Numerical Optimization, 2nd edition, algorithms 3.5 and 3.6). If losses differ by no more than
 * `noise`, slopes decide instead: φ′(α) ≤ (2c₁ − 1) φ′(0), which for a quadratic is the first condition (Hager and Zhang
 * 2005, "A new conjugate gradient method with guaranteed descent", equation 4.1).
 * @param start φ at step 0; its slope must be negative
 * @param noise the error to expect of a loss, ≥ 0
 * @returns undefined if {@link MAX_TRIALS} trials found no such step
 */
export async function searchLine<T extends Trial>(
  evaluate: (step: number) => Promise<T>,
  start: T,
  firstStep: number,
  noise: number,
): Promise<T | undefined> {
  let trials = 0;
  let step = firstStep;
  let previous = start;

  const tryStep = (at: number): Promise<T> => {
    trials++;
    return evaluate(at);
  };
  const isTooHigh = (trial: T, other: T): boolean => !decreases(trial, start, noise) || trial.loss > other.loss + noise;
  const isFlat = ({ slope }: T): boolean => Math.abs(slope) <= -C2 * start.slope;

  // Algorithm 3.5: widen until a step is good or two steps hold one between them.
  let bracket: { low: T; high: T } | undefined;
  while (!bracket) {
    if (trials === MAX_TRIALS) return undefined;
    const trial = await tryStep(step);
    if (isTooHigh(trial, previous)) bracket = { low: previous, high: trial };
    else if (isFlat(trial)) return trial;
    else if (trial.slope >= 0) bracket = { low: trial, high: previous };
    previous = trial;
    step *= EXPANSION;
  }

  // Algorithm 3.6 (zoom): narrow the bracket; `low` is the better of its ends.
  let { low, high } = bracket;
  while (trials < MAX_TRIALS) {
    const trial = await tryStep(interpolate(low, high, noise));
    if (isTooHigh(trial, low)) {
      high = trial;
    } else {
      if (isFlat(trial)) return trial;
      if (trial.slope * (high.step - low.step) >= 0) high = low;
      low = trial;
    }
  }
  return undefined;
}

/** False for a loss that is NaN or infinite, too. */
function decreases({ step, loss, slope }: Trial, start: Trial, noise: number): boolean {
  const enough = loss <= start.loss + C1 * step * start.slope;
  const withinNoise = Math.abs(loss - start.loss) <= noise && slope <= (2 * C1 - 1) * start.slope;
  return enough || withinNoise;
}

/**
 * The minimum of the cubic through both losses and slopes (Nocedal and Wright, equation 3.59), or that of the parabola
 * through the slopes if the losses differ by no more than noise; the middle if that is undefined or too near an end.
 */
function interpolate(low: Trial, high: Trial, noise: number): number {
  const length = high.step - low.step;
  const rise = high.loss - low.loss;
  const d1 = low.slope + high.slope - (3 * rise) / length;
  const d2 = Math.sign(length) * Math.sqrt(d1 * d1 - low.slope * high.slope);
  const cubic = 1 - (high.slope + d2 - d1) / (high.slope - low.slope + 2 * d2);
  const parabola = low.slope / (low.slope - high.slope);
  const fraction = Math.abs(rise) > noise ? cubic : parabola;
  return low.step + length * (fraction >= 0.05 && fraction <= 0.95 ? fraction : 0.5);
}
