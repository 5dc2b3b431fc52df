import type { Split } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import type { PassOptions } from '../embed/pipeline.js';
import { readEmbeddings } from '../embed/read-embeddings.js';
import {
  Evaluation,
  type EvaluationResult,
  MultilabelEvaluation,
  type MultilabelResult,
} from '../head/metrics.js';
import { type EmbeddingRow, labelsIn } from '../store/row.js';
import { LastlayerError } from '../util/errors.js';
import { type Classifier, meanEmbedding } from './classifier.js';

export interface EvaluateOptions extends Omit<PassOptions, 'backbone'> {
  /** Store whose embeddings are used where they fit; it is not written to. */
  store?: string | undefined;
  /** k of the top-k accuracy. Default: 5. */
  topK?: number | undefined;
  onProgress?: ((progress: { done: number; total: number }) => void) | undefined;
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

/** What became of the pictures of a data set. */
interface JudgedRows {
  /** The split that was judged; undefined where the data set has none. */
  split: Split | undefined;
  done: number;
  /** By path. */
  failed: { path: string; error: string }[];
  unlabelled: number;
}

/**
 * Goes through the pictures to judge by: the given split, else the test split, else the validation split, else everything.
 * @param judge takes a picture's embedding, the mean over the classifier's views, [width], and its row; false where that has
 *   no label to judge by
 * @throws {LastlayerError} where the data set cannot be used or has no pictures of the split
 */
async function judgeRows(
  { backbone, views }: Classifier,
  path: string,
  options: EvaluateOptions,
  judge: (embedding: Float32Array, row: EmbeddingRow) => boolean,
): Promise<JudgedRows> {
  const { split, total } = await partToJudge(path, options.split);
  const failed: { path: string; error: string }[] = [];
  let [done, unlabelled] = [0, 0];
  /** Rows of pictures of which views are still to come. */
  const waiting = new Map<string, EmbeddingRow[]>();
  await readEmbeddings(path, {
    ...options,
    backbone,
    ...(split && { split }),
    views: views.filter((view) => view !== 'center'),
    onRow: (row) => {
      const rows = [...(waiting.get(row.path) ?? []), row];
      waiting.set(row.path, rows);
      if (row.embedding && rows.length < views.length) return;
      waiting.delete(row.path);
      options.onProgress?.({ done: ++done, total });
      const center = rows.find(({ view }) => view === 'center') ?? row;
      if (!row.embedding) failed.push({ path: row.path, error: row.error ?? 'no embedding' });
      else if (!judge(meanEmbedding(rows.flatMap(({ embedding }) => embedding ?? [])), center)) unlabelled++;
    },
  });
  failed.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { split, done, failed, unlabelled };
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
