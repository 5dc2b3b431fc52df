import type { HeldOut } from './cross-validate.js';
import type { FoldScore } from './l2-path.js';
import type { LabelSets } from './label-sets.js';
import { binaryCrossEntropy } from './sigmoid.js';

/**
 * How well held-out rows with any number of labels are told: their log loss is the sum over labels, as in the objective,
 * and a row is right where each label's logit is on the right side of 0.
 * @param count N
 */
export async function scoreSets(
  blocks: AsyncIterable<HeldOut>,
  sets: LabelSets,
  count: number,
): Promise<FoldScore> {
  const result = { weight: 0, loss: 0, rows: 0, right: 0 };
  for await (const { logits, classes, weights } of blocks) {
    for (let i = 0; i < classes.length; i++) {
      const [set, w] = [new Set(sets[classes[i] ?? 0]), weights?.[i] ?? 1];
      let isRight = true;
      for (let n = 0; n < count; n++) {
        const logit = logits[i * count + n] ?? 0;
        result.loss += w * binaryCrossEntropy(logit, set.has(n));
        if (logit > 0 !== set.has(n)) isRight = false;
      }
      result.weight += w;
      result.rows++;
      if (isRight) result.right++;
    }
  }
  return result;
}
