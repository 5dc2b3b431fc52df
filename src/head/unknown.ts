import { LastlayerError } from '../util/errors.js';
import { checkInteger, checkNumber, type CheckOptions } from '../util/validate.js';

/**
 * Pictures whose {@link Typicality} is below this are called unknown, and so are about this share of the right predictions; above 0 and
 * below 1. With `off`, none ever are.
 */
export type UnknownRate = number | 'off';

export const DEFAULT_UNKNOWN = 0.05;

/** How a picture is told from pictures of other things. */
export interface Typicality {
  /**
   * The share of the right out-of-fold predictions of training that are less typical than the picture, 0 … 1; null if the head
   * was trained without cross-validation or is a multilabel head.
   */
  typicality: number | null;
  /** Whether that is below the head's rate: the picture is unlike the training pictures. */
  unknown: boolean;
}

/** The scores of the right out-of-fold predictions, all of them or 201. */
export interface TypicalScores {
  /** How many right predictions there were. */
  count: number;
  /** Those at {@link ranksOf}, ascending. */
  scores: readonly number[];
}

/** What the rule does to the predictions that it was made from. */
export interface UnknownRule {
  rate: UnknownRate;
  typical: TypicalScores;
  /** The share of right predictions that are called unknown. */
  flaggedRight: number;
  /** The share of wrong predictions that are called unknown; null if there were none. */
  flaggedWrong: number | null;
}

/** How much of the score is certainty. */
export const CERTAINTY = 0.1;

/**
 * How typical a picture is of its class, on a scale of the head's own: the cosine to the nearest class mean + 0.1 ln p, where p is the
 * largest calibrated probability. The cosine alone tells pictures of quite other things, the probability those of classes that are
 * like the head's; docs/training.md compares both with what else there is.
 * @param cosine −1 … 1
 * @param probability above 0, up to 1
 */
export function typicalScore(cosine: number, probability: number): number {
  return cosine + CERTAINTY * Math.log(probability);
}

/**
 * @param scores of predictions of rows that the head was not trained on; [M]
 * @param isRight [M]
 * @returns null if no prediction is right
 */
export function unknownRule(
  scores: readonly number[],
  isRight: readonly boolean[],
  rate: UnknownRate,
): UnknownRule | null {
  const right = scores.filter((_, i) => isRight[i]).sort((a, b) => a - b);
  const wrong = scores.filter((_, i) => !isRight[i]);
  if (right.length === 0) return null;
  const typical = { count: right.length, scores: ranksOf(right.length).map((rank) => right[rank]!) };
  const flagged = (some: readonly number[]) =>
    some.filter((score) => isUnknown(typicalityOf(score, typical), rate)).length / some.length;
  return { rate, typical, flaggedRight: flagged(right), flaggedWrong: wrong.length === 0 ? null : flagged(wrong) };
}

export function isUnknown(typicality: number, rate: UnknownRate): boolean {
  return rate !== 'off' && typicality < rate;
}

const INTERVALS = 200;

/**
 * The ranks whose scores a head keeps, from 0 for the lowest score: all up to 201, then 201, ever closer together towards
 * the lowest. Of 1,000 scores these are the lowest 40 and the rest 2 to 10 ranks apart.
 */
export function ranksOf(count: number): number[] {
  const last = count - 1;
  return Array.from({ length: Math.min(INTERVALS, last) + 1 }, (_, k) => rankOf(k, last));
}

/** @param last the highest rank */
function rankOf(k: number, last: number): number {
  return Math.min(last, Math.max(k, Math.round(last * (k / INTERVALS) ** 2)));
}

/**
 * The share of right predictions with a lower score. Exact between scores whose ranks follow one another; elsewhere interpolated
 * linearly.
 */
export function typicalityOf(score: number, { count, scores }: TypicalScores): number {
  let [above, end] = [0, scores.length];
  while (above < end) {
    const middle = (above + end) >> 1;
    if (scores[middle]! < score) above = middle + 1;
    else end = middle;
  }
  if (above === 0) return 0;
  if (above === scores.length) return 1;
  const [low, high] = [scores[above - 1]!, scores[above]!];
  const rank = rankOf(above - 1, count - 1);
  const between = rankOf(above, count - 1) - rank - 1;
  return (rank + 1 + (between * (score - low)) / (high - low)) / count;
}

/** How typical a picture is, by what a head keeps of its training. @param cosine to the nearest class mean @param probability the largest */
export function typicalityBy(
  { typical, rate }: { typical: TypicalScores; rate: UnknownRate },
  cosine: number,
  probability: number,
): { typicality: number; unknown: boolean } {
  const typicality = typicalityOf(typicalScore(cosine, probability), typical);
  return { typicality, unknown: isUnknown(typicality, rate) };
}

/** @throws {UsageError} if pictures cannot be called unknown at this rate */
export function checkRate(rate: UnknownRate, options: Pick<CheckOptions, 'Failure'> = {}): void {
  if (rate !== 'off')
    checkNumber('The rate of unknown pictures', rate, { above: 0, below: 1, example: 0.05, ...options });
}

/** @throws {LastlayerError} if these are no scores as {@link unknownRule} makes them */
export function checkTypical({ count, scores }: TypicalScores): void {
  checkInteger("The head's number of typical scores", count, { min: 1, Failure: LastlayerError });
  const expected = Math.min(count, INTERVALS + 1);
  const isAscending = scores.every((score, i) => Number.isFinite(score) && (i === 0 || score >= scores[i - 1]!));
  if (scores.length === expected && isAscending) return;
  throw new LastlayerError(`The head's typical scores are not ${expected} ascending numbers.`);
}
