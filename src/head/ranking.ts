/** What a threshold at some score lets through. */
export interface Cut {
  /** The lowest score that is let through. */
  score: number;
  /** Rows at or above it, and how many of them are positive. */
  predicted: number;
  truePositives: number;
}

/** The cuts at each distinct score, the highest first: rows of equal scores are let through together. */
function* cutsOf(scores: Float64Array, isPositive: Uint8Array): Generator<Cut> {
  const order = Uint32Array.from(scores, (_, i) => i).sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
  let truePositives = 0;
  for (let i = 0; i < order.length; i++) {
    const [row = 0, next] = [order[i], order[i + 1]];
    truePositives += isPositive[row] ?? 0;
    const score = scores[row] ?? 0;
    if (next === undefined || scores[next] !== score) yield { score, predicted: i + 1, truePositives };
  }
}

/**
 * Average precision Σ (Rₖ − Rₖ₋₁) Pₖ over the cuts, with recall R and precision P at each: the mean over positives of the
 * precision at their rank, equal scores sharing the last rank. As scikit-learn's average_precision_score.
 * @param scores higher for what is likelier positive; [M]
 * @param isPositive 1 or 0; [M]
 * @returns 0 … 1; null where nothing is positive
 */
export function averagePrecision(scores: Float64Array, isPositive: Uint8Array): number | null {
  let [sum, found] = [0, 0];
  for (const { predicted, truePositives } of cutsOf(scores, isPositive)) {
    sum += ((truePositives - found) * truePositives) / predicted;
    found = truePositives;
  }
  return found === 0 ? null : sum / found;
}

/** Where there is nothing to choose a threshold by. */
export const DEFAULT_THRESHOLD = 0.5;

/**
 * The threshold on probabilities with the largest F1 = 2 TP / (predicted + positive), half way between the last score that
 * it lets through and the next one; of equals, the highest.
 * @param scores probabilities; [M]
 * @param isPositive 1 or 0; [M]
 * @returns 0 … 1; {@link DEFAULT_THRESHOLD} where nothing is positive
 */
export function bestThreshold(scores: Float64Array, isPositive: Uint8Array): number {
  const positives = isPositive.reduce((sum, value) => sum + value, 0);
  const cuts = [...cutsOf(scores, isPositive)];
  let [best, threshold] = [0, DEFAULT_THRESHOLD];
  cuts.forEach(({ score, predicted, truePositives }, k) => {
    const f1 = (2 * truePositives) / (predicted + positives);
    if (f1 > best) [best, threshold] = [f1, (score + (cuts[k + 1]?.score ?? 0)) / 2];
  });
  return threshold;
}
