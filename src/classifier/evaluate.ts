import type { PassOptions } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import { Evaluation, type EvaluationResult } from '../head/index.js';
import type { Split } from '../images/index.js';
import type { Classifier } from './classifier.js';
import { judgeRows } from './judge-rows.js';

export interface EvaluateOptions extends Omit<PassOptions, 'backbone'> {
  /** Store whose embeddings are used where they fit; it is not written to. */
  store?: string;
  /** k of the top-k accuracy. Default: 5. */
  topK?: number;
  onProgress?: (progress: { done: number; total: number }) => void;
}

export interface DatasetEvaluation extends EvaluationResult {
  dataset: string;
  /** The split that was judged; undefined where the data set has none. */
  split: Split | undefined;
  failed: { path: string; error: string }[];
  /** Pictures without a label. */
  unlabelled: number;
  /** Pictures that the head takes for none of its classes: see `Head.areUnknown`. */
  calledUnknown: {
    /** Of those that are of its classes: so many mistakes. */
    known: number;
    /** Of those that are of other classes. */
    others: number;
  };
}

/**
 * Judges a classifier on a labelled data set: the given split, else its test split, else its validation split, else
 * everything.
 * @throws {LastlayerError} where the data set cannot be used or has no labels, or the head is a multilabel one
 */
export async function evaluateDataset(
  classifier: Classifier,
  path: string,
  options: EvaluateOptions = {},
): Promise<DatasetEvaluation> {
  const { head } = classifier;
  if (head.kind !== 'softmax') {
    throw new LastlayerError('The head gives any number of labels. Judge it by evaluateMultilabelDataset.');
  }
  const evaluation = new Evaluation(head.labels, options.topK === undefined ? {} : { topK: options.topK });
  const calledUnknown = { known: 0, others: 0 };
  const { done, failed, unlabelled, split } = await judgeRows(
    classifier,
    path,
    options,
    (embedding, { label }) => {
      if (label === null) return false;
      const index = head.indexOf(label);
      if (head.areUnknown(embedding)[0]) calledUnknown[index === undefined ? 'others' : 'known']++;
      if (index === undefined) evaluation.addUnknown(label);
      else evaluation.add(index, head.predictProba(embedding).getRow(0));
      return true;
    },
  );
  const result = evaluation.result();
  if (result.count === 0) {
    const reasons = [
      `${unlabelled} without a label`,
      `${failed.length} unreadable`,
      `${done - unlabelled - failed.length} of classes that the head does not know (it knows ${head.labels.slice(0, 5).join(', ')})`,
    ];
    throw new LastlayerError(`No picture of ${path} can be judged: ${reasons.join(', ')}.`);
  }
  return { ...result, dataset: path, split, failed, unlabelled, calledUnknown };
}
