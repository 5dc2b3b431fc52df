import { readEmbeddings, type PassOptions } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import { Evaluation, type EvaluationResult } from '../head/index.js';
import { openDataset, type Split } from '../images/index.js';
import type { Classifier } from './classifier.js';

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
 * @throws {LastlayerError} where the data set cannot be used or has no labels
 */
export async function evaluateDataset(
  classifier: Classifier,
  path: string,
  options: EvaluateOptions = {},
): Promise<DatasetEvaluation> {
  const { backbone, head } = classifier;
  const { split, total } = await partToJudge(path, options.split);
  const evaluation = new Evaluation(head.labels, options.topK === undefined ? {} : { topK: options.topK });
  const failed: { path: string; error: string }[] = [];
  const calledUnknown = { known: 0, others: 0 };
  let [done, unlabelled] = [0, 0];
  await readEmbeddings(path, {
    ...options,
    backbone,
    ...(split && { split }),
    onRow: ({ path: file, label, embedding, error }) => {
      options.onProgress?.({ done: ++done, total });
      if (!embedding) failed.push({ path: file, error: error ?? 'no embedding' });
      else if (label === null) unlabelled++;
      else {
        const index = head.indexOf(label);
        if (head.areUnknown(embedding)[0]) calledUnknown[index === undefined ? 'others' : 'known']++;
        if (index === undefined) evaluation.addUnknown(label);
        else evaluation.add(index, head.predictProba(embedding).getRow(0));
      }
    },
  });
  const result = evaluation.result();
  if (result.count === 0) {
    const reasons = [
      `${unlabelled} without a label`,
      `${failed.length} unreadable`,
      `${done - unlabelled - failed.length} of classes that the head does not know (it knows ${head.labels.slice(0, 5).join(', ')})`,
    ];
    throw new LastlayerError(`No picture of ${path} can be judged: ${reasons.join(', ')}.`);
  }
  failed.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { ...result, dataset: path, split, failed, unlabelled, calledUnknown };
}

async function partToJudge(
  path: string,
  wanted: Split | undefined,
): Promise<{ split: Split | undefined; total: number }> {
  const dataset = await openDataset(path);
  const counts = new Map<Split | undefined, number>();
  for await (const { split } of dataset.entries()) counts.set(split, (counts.get(split) ?? 0) + 1);
  const split = wanted ?? (['test', 'val'] as const).find((name) => counts.has(name));
  const all = [...counts.values()].reduce((sum, n) => sum + n, 0);
  const total = split === undefined ? all : (counts.get(split) ?? 0) + (counts.get(undefined) ?? 0);
  if (total === 0) {
    throw new LastlayerError(
      `There are no pictures${split ? ` of the split ${split}` : ''} in ${dataset.root}.`,
    );
  }
  return { split, total };
}
