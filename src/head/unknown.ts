/** The part of the rightly classified examples that the threshold lets pass. */
export const KEPT = 0.95;

/** Where a picture is said to be none of the classes, and what that does to the examples that it was chosen by. */
export interface UnknownRule {
  /** Pictures whose top probability is below this are called unknown; 0 … 1. */
  threshold: number;
  /** The part of the right answers that are let pass: {@link KEPT} or a little more. */
  keptRight: number;
  /** The part of the wrong answers that are called unknown; null where there was none. */
  flaggedWrong: number | null;
}

/**
 * The largest threshold on the top probability that lets 95 % of the right answers pass. The answers have to be about
 * pictures that the head was not trained on.
 * @param probabilities of the predicted classes; [M]
 * @param isRight [M]
 * @returns null where no answer is right
 */
export function chooseUnknown(probabilities: Float64Array, isRight: Uint8Array): UnknownRule | null {
  const right = probabilities.filter((_, i) => isRight[i] === 1).sort();
  const wrong = probabilities.filter((_, i) => isRight[i] === 0);
  const threshold = right[Math.floor((1 - KEPT) * right.length)];
  if (threshold === undefined) return null;
  return {
    threshold,
    keptRight: right.filter((p) => p >= threshold).length / right.length,
    flaggedWrong: wrong.length === 0 ? null : wrong.filter((p) => p < threshold).length / wrong.length,
  };
}
