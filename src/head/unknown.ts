/** The part of the rightly classified examples that the threshold lets pass. */
const KEPT = 0.95;

/** Where a picture is said to be none of the classes, and what that does to the examples that it was chosen by. */
export interface UnknownRule {
  /** Pictures whose cosine to the nearest class mean is below this are called unknown; −1 … 1. */
  threshold: number;
  /** The part of the right answers that are let pass: {@link KEPT} or a little more. */
  keptRight: number;
  /** The part of the wrong answers that are called unknown; null where there was none. */
  flaggedWrong: number | null;
}

/**
 * The largest threshold that lets 95 % of the right answers pass. The answers have to be about pictures that the head was
 * not trained on. It goes by the cosine to the class means and not by the probability: of pictures that have nothing to do
 * with the classes, at the same cost in right answers, it catches 46 to 99 % where the probability catches 2 to 36 %
 * (ants and bees against Imagenette and single ImageNet pictures, and the other way round).
 * @param similarities to the nearest class mean; [M]
 * @param isRight [M]
 * @returns null where no answer is right
 */
export function chooseUnknown(similarities: Float64Array, isRight: Uint8Array): UnknownRule | null {
  const right = similarities.filter((_, i) => isRight[i] === 1).sort();
  const wrong = similarities.filter((_, i) => isRight[i] === 0);
  const threshold = right[Math.floor((1 - KEPT) * right.length)];
  if (threshold === undefined) return null;
  return {
    threshold,
    keptRight: right.filter((value) => value >= threshold).length / right.length,
    flaggedWrong:
      wrong.length === 0 ? null : wrong.filter((value) => value < threshold).length / wrong.length,
  };
}
