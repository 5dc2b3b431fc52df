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
 * (Nocedal and Wright, Numerical Optimization, 2nd edition, algorithms 3.5 and 3.6). Where losses differ by no more than
 * `noise`, slopes decide instead: φ′(α) ≤ (2c₁ − 1) φ′(0), which for a quadratic is the first condition (Hager and Zhang
 * 2005, "A new conjugate gradient method with guaranteed descent", equation 4.1).
 * @param start φ at step 0; its slope must be negative
 * @param noise the error to expect of a loss, ≥ 0
 * @returns undefined where no such step was found in {@link MAX_TRIALS} trials
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
  const isTooHigh = (trial: T, other: T): boolean =>
    !decreases(trial, start, noise) || trial.loss > other.loss + noise;
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
 * The minimum of the cubic through both losses and slopes (Nocedal and Wright, equation 3.59); where the losses differ
 * by no more than noise, that of the parabola through the slopes alone. The middle where it is undefined or too near an
 * end.
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
