import type { Split } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import type { PipelineOptions } from '../embed/pipeline.js';
import { readEmbeddings } from '../embed/read-embeddings.js';
import type { EvaluationResult, MultilabelResult } from '../head/metrics.js';
import { taskOf } from '../head/task.js';
import type { UnknownRate } from '../head/unknown.js';
import { labelsIn, type EmbeddingRow } from '../store/row.js';
import { LastlayerError } from '../util/errors.js';
import { argmax } from '../util/math.js';
import { meanEmbedding, type Classifier } from './classifier.js';

export interface EvaluateOptions extends Omit<PipelineOptions, 'backbone'> {
  /** Store whose embeddings are used where they fit; it is not written to. */
  store?: string | undefined;
  /** k of the top-k accuracy; for softmax heads. @default 5 */
  topK?: number | undefined;
  onProgress?: ((progress: { done: number; total: number }) => void) | undefined;
}

interface Evaluated {
  dataset: string;
  /** The split that was evaluated; undefined if the data set has none. */
  split: Split | undefined;
  failed: { path: string; error: string }[];
  /** Pictures without a label or, for a multilabel head, without a list of labels. */
  unlabelled: number;
  /** Softmax heads: pictures that `Head.typicality` calls unknown. */
  calledUnknown?:
    | {
        /** Null if the head cannot tell. */
        rate: UnknownRate | null;
        /** Pictures of the head's classes that are predicted right: so many mistakes. */
        right: number;
        /** Those that are predicted wrong. */
        wrong: number;
        /** Pictures of other classes. */
        others: number;
      }
    | undefined;
}

export type DatasetEvaluation =
  ({ kind: 'softmax' } & EvaluationResult & Evaluated) | ({ kind: 'multilabel' } & MultilabelResult & Evaluated);

/**
 * Evaluates a classifier on a labelled data set: on the given split, else its test split, else its validation split, else
 * everything. Labels that the head does not know are counted, and otherwise ignored.
 * @throws {LastlayerError} if the data set cannot be used, or has no labels that the head could be evaluated on
 */
export async function evaluateDataset(
  classifier: Classifier,
  path: string,
  options: EvaluateOptions = {},
): Promise<DatasetEvaluation> {
  const { head } = classifier;
  const isSoftmax = head.kind === 'softmax';
  const evaluator = taskOf(head.kind).evaluator(head.labels, { thresholds: head.thresholds, topK: options.topK });
  const calledUnknown = { rate: head.unknown?.rate ?? null, right: 0, wrong: 0, others: 0 };
  const chosen = await chooseSplit(path, options.split, ['test', 'val']);
  const { split } = chosen;
  const { done, failed, unlabelled } = await eachEmbedding(
    classifier,
    path,
    chosen,
    options,
    (embedding, { label, labels }) => {
      const list = isSoftmax ? (label === null ? null : [label]) : labels === null ? null : labelsIn(labels);
      if (!list) return false;
      const known = list.flatMap((name) => head.indexOf(name) ?? []);
      for (const name of list) if (head.indexOf(name) === undefined) evaluator.addUnknown(name);
      const probabilities = Float64Array.from(head.predictProba(embedding).getRow(0));
      if (head.typicality(embedding)[0]?.unknown) {
        const isRight = argmax(probabilities, 0, probabilities.length) === known[0];
        calledUnknown[known.length === 0 ? 'others' : isRight ? 'right' : 'wrong']++;
      }
      if (known.length > 0 || !isSoftmax) evaluator.add(known, probabilities);
      return true;
    },
  );
  const result = evaluator.result();
  if (result.count === 0) {
    const reasons = [
      `${unlabelled} without a ${isSoftmax ? 'label' : 'list of labels'}`,
      `${failed.length} unreadable`,
      `${done - unlabelled - failed.length} of classes that the head does not know (it knows ${head.labels.slice(0, 5).join(', ')})`,
    ];
    const hint = isSoftmax ? '' : ' A multilabel head needs a manifest with the column labels.';
    throw new LastlayerError(`No picture of ${path} can be evaluated: ${reasons.join(', ')}.${hint}`);
  }
  return {
    kind: head.kind,
    ...result,
    dataset: path,
    split,
    failed,
    unlabelled,
    ...(isSoftmax && { calledUnknown }),
  } as DatasetEvaluation;
}

/**
 * Goes through the pictures to evaluate.
 * @param visit takes a picture's embedding, the mean over the classifier's views, [width], and its row; false if that has
 *   no label
 */
export async function eachEmbedding(
  { backbone, views }: Pick<Classifier, 'backbone' | 'views'>,
  path: string,
  { split, total }: ChosenSplit,
  options: Omit<EvaluateOptions, 'split' | 'topK'>,
  visit: (embedding: Float32Array, row: EmbeddingRow) => boolean,
) {
  const failed: Evaluated['failed'] = [];
  let [done, unlabelled] = [0, 0];
  /** Rows of pictures whose other views are still to come. */
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
      else if (!visit(meanEmbedding(rows.flatMap(({ embedding }) => embedding ?? [])), center)) unlabelled++;
    },
  });
  failed.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { done, failed, unlabelled };
}

interface ChosenSplit {
  /** Undefined for all pictures. */
  split: Split | undefined;
  /** Its pictures, and those of no split. */
  total: number;
}

/**
 * The split to evaluate on.
 * @param preferred if none is wanted: the first of these that the data set has, else everything
 * @throws {LastlayerError} if the data set cannot be used, or has no pictures of the split
 */
export async function chooseSplit(
  path: string,
  wanted: Split | undefined,
  preferred: readonly Split[],
): Promise<ChosenSplit> {
  const dataset = await openDataset(path);
  const counts = new Map<Split | undefined, number>();
  for await (const { split } of dataset.entries()) counts.set(split, (counts.get(split) ?? 0) + 1);
  const split = wanted ?? preferred.find((name) => counts.has(name));
  const all = [...counts.values()].reduce((sum, n) => sum + n, 0);
  const total = split === undefined ? all : (counts.get(split) ?? 0) + (counts.get(undefined) ?? 0);
  if (total === 0) {
    throw new LastlayerError(`There are no pictures${split ? ` of the split ${split}` : ''} in ${dataset.root}.`);
  }
  return { split, total };
}
