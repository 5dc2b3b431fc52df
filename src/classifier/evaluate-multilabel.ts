import { labelsIn } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import { MultilabelEvaluation, type MultilabelResult } from '../head/index.js';
import type { Split } from '../images/index.js';
import type { Classifier } from './classifier.js';
import type { EvaluateOptions } from './evaluate.js';
import { judgeRows } from './judge-rows.js';

export interface MultilabelDatasetEvaluation extends MultilabelResult {
  dataset: string;
  /** The split that was judged; undefined where the data set has none. */
  split: Split | undefined;
  failed: { path: string; error: string }[];
  /** Pictures without a list of labels. */
  unlabelled: number;
}

/**
 * Judges a multilabel classifier on a manifest with lists of labels: the given split, else its test split, else its
 * validation split, else everything. Labels that the head does not know are counted and otherwise left out.
 * @throws {LastlayerError} where the data set cannot be used or has no such lists, or the head is no multilabel one
 */
export async function evaluateMultilabelDataset(
  classifier: Classifier,
  path: string,
  options: Omit<EvaluateOptions, 'topK'> = {},
): Promise<MultilabelDatasetEvaluation> {
  const { head } = classifier;
  const { thresholds } = head;
  if (!thresholds)
    throw new LastlayerError('The head gives one class a picture. Judge it by evaluateDataset.');
  const evaluation = new MultilabelEvaluation(head.labels);
  const { failed, unlabelled, split } = await judgeRows(
    classifier,
    path,
    options,
    (embedding, { labels }) => {
      if (labels === null) return false;
      const truth: number[] = [];
      for (const label of labelsIn(labels)) {
        const index = head.indexOf(label);
        if (index === undefined) evaluation.addUnknown(label);
        else truth.push(index);
      }
      const probabilities = Float64Array.from(head.predictProba(embedding).getRow(0));
      evaluation.add(truth, probabilities, thresholds);
      return true;
    },
  );
  const result = evaluation.result();
  if (result.count === 0) {
    throw new LastlayerError(
      `No picture of ${path} can be judged: ${unlabelled} without a list of labels, ${failed.length} unreadable. The head ` +
        `gives any number of labels, so it needs a manifest with the column labels.`,
    );
  }
  return { ...result, dataset: path, split, failed, unlabelled };
}
