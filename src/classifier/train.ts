import type { DatasetRecord } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import {
  baselines,
  Evaluation,
  judgeHead,
  learningCurve,
  rowWeights,
  SoftmaxGraph,
  tuneHead,
  viewsLearntFrom,
  type Baselines,
  type ClassWeights,
  type CurvePoint,
  type EvaluationResult,
  type Examples,
  type Head,
  type HeldOutResult,
  type Iteration,
  type L2Rule,
  type Part,
  type TuneProgress,
} from '../head/index.js';
import { VIEW_SETS, type ViewSet } from '../images/index.js';
import { divide, type Division } from './divide.js';
import { unusedOf, withLabelledEmbeddings, type Unused } from './labelled-embeddings.js';
import type { Selection, StoredEmbeddings } from './stored-embeddings.js';
import { trainingJson } from './training-json.js';

export interface TrainOptions extends Omit<Selection, 'store'> {
  /** Folder or address of the store. Default: `embeddings`. */
  store?: string;
  /** The further views of the pictures to learn from, of those that were embedded. Default: all of them. */
  views?: readonly ViewSet[];
  /** λ of the penalty λ/2 ‖W‖² on the weights of standardised features; by default chosen by cross-validation. */
  l2?: number;
  /** The λ of the least log loss, or the largest within one standard error of it. Default: `best`. */
  l2Rule?: L2Rule;
  /** K of K-fold cross-validation, 0 for none. Default: 5, or 3 or 4 where the smallest class is that small. */
  folds?: number;
  /** Where the data set has no validation split: the part of each class to hold out for one. Default: 0. */
  holdOut?: number;
  /** How much each class counts. Default: `none`, all examples alike. */
  classWeights?: ClassWeights;
  /** ε, 0 ≤ ε < 1. Default: 0. */
  labelSmoothing?: number;
  /** Measure how accuracy grows with the number of pictures. Default: false. */
  learningCurve?: boolean;
  signal?: AbortSignal;
  onIteration?: (progress: Iteration) => void;
  onFit?: (progress: TuneProgress) => void;
}

export interface TrainedHead {
  kind: 'softmax';
  head: Head;
  dataset: DatasetRecord;
  /** Further views that were learnt from, of all pictures together. */
  views: number;
  train: EvaluationResult;
  /** On pictures that the head, or in cross-validation the fold's head, has not seen; undefined where there are none. */
  validation: EvaluationResult | undefined;
  /** Where the validation pictures come from. */
  validatedOn: Division['from'];
  /** Undefined where there was none. */
  crossValidation: HeldOutResult | undefined;
  /** On the validation pictures; undefined where there are none. */
  baselines: Baselines | undefined;
  /** Undefined where it was not asked for, or there are no validation pictures. */
  learningCurve: CurvePoint[] | undefined;
  unused: Unused;
}

/**
 * Trains a head on the stored embeddings of a data set; see `tuneHead`. It is judged on the validation split or, where
 * there is none, by cross-validation: on each picture by a head that has not seen it. The test split is not touched. Further
 * views of a picture are learnt from, as long as it is; whatever is judged is judged by the center view.
 * @throws {LastlayerError} where there is nothing to train on, see `tuneHead` and `withStoredEmbeddings`; where pictures
 *   have lists of labels, see `trainAnyFromStore`
 * @throws {UsageError} where an option is out of its range
 * @throws the signal's reason, once it aborts
 */
export async function trainFromStore(options: TrainOptions = {}): Promise<TrainedHead> {
  return withLabelledEmbeddings({ views: VIEW_SETS, ...options }, async (stored) => {
    if (!stored.labelSets) return trainClasses(stored, options);
    throw new LastlayerError(
      `The pictures of ${stored.record.dataset} have lists of labels, for which trainFromStore makes no head. Call ` +
        `trainAnyFromStore, which trains a multilabel one.`,
    );
  });
}

/** Trains a softmax head on embeddings that are read. @throws as {@link trainFromStore} does */
export async function trainClasses(stored: StoredEmbeddings, options: TrainOptions): Promise<TrainedHead> {
  const graph = await SoftmaxGraph.create();
  try {
    return { ...(await train(graph, stored, options)), unused: unusedOf(stored) };
  } finally {
    await graph.release();
  }
}

async function train(
  graph: SoftmaxGraph,
  stored: StoredEmbeddings,
  options: TrainOptions,
): Promise<Omit<TrainedHead, 'unused'>> {
  const { record, labels } = stored;
  const division = divide(stored, options);
  const { names, classes, train: part, validation: heldOut, from, groups } = division;
  const examples: Examples = { source: stored.source, names, classes };
  const weights = rowWeights({
    names,
    classes: classes.map((c, row) => (part(row) ? c : -1)),
    ...(stored.weights && { sampleWeights: stored.weights }),
    ...(options.classWeights && { classWeights: options.classWeights }),
  });
  if (weights) examples.weights = weights;
  const ids = { modelId: record.model_id, transformId: record.transform_id };
  const {
    head,
    crossValidation,
    trials: tried,
  } = await tuneHead(graph, examples, { ...options, ...ids, part, groups });

  const judge = async (judged: Part): Promise<EvaluationResult> => {
    options.signal?.throwIfAborted();
    const evaluation = new Evaluation(names);
    await judgeHead(graph, examples, judged, head, evaluation);
    labels.forEach((label, row) => {
      if (classes[row] === -1 && judged(row)) evaluation.addUnknown(label);
    });
    return evaluation.result();
  };
  const isHeldOut = from === 'validation split' || from === 'held-out part';
  const trials = isHeldOut ? { examples, folds: [{ train: part, judge: heldOut }] } : tried;
  if (!crossValidation && options.folds !== 0) {
    options.onNotice?.(
      'There are too few pictures that differ for cross-validation, so that the penalty is not chosen by them, ' +
        'probabilities are not calibrated and no picture is ever called unknown.',
    );
  }
  const validation = isHeldOut ? await judge(heldOut) : crossValidation?.evaluation;
  const { l2, training } = head;
  const result = {
    kind: 'softmax' as const,
    head,
    dataset: record,
    views: viewsLearntFrom(examples, part),
    train: await judge(part),
    validation,
    validatedOn: !isHeldOut && crossValidation ? ('cross-validation' as const) : from,
    crossValidation,
    baselines: trials && (await baselines(graph, trials.examples, trials.folds)),
    learningCurve:
      options.learningCurve && trials
        ? await learningCurve(graph, trials.examples, {
            ...{ ...ids, l2, trials: trials.folds, groups, labelSmoothing: training.labelSmoothing ?? 0 },
            ...(options.signal && { signal: options.signal }),
          })
        : undefined,
  };
  const validationCounts =
    isHeldOut && validation ? validation.perClass.map(({ support }) => support) : undefined;
  return {
    ...result,
    head: head.with({
      counts: { train: head.counts.train, validation: validationCounts ?? head.counts.validation },
      metrics: trainingJson(result),
    }),
  };
}
