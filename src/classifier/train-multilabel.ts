import type { DatasetRecord } from '../embeddings/index.js';
import { UsageError } from '../errors.js';
import {
  judgeMultilabelHead,
  multilabelBaselines,
  MultilabelEvaluation,
  multilabelLearningCurve,
  rowWeights,
  SoftmaxGraph,
  tuneMultilabelHead,
  viewsLearntFrom,
  type Examples,
  type Head,
  type MultilabelBaselines,
  type MultilabelCurvePoint,
  type MultilabelHeldOutResult,
  type MultilabelResult,
  type Part,
} from '../head/index.js';
import { VIEW_SETS } from '../images/index.js';
import { divide, type Division } from './divide.js';
import { unusedOf, withLabelledEmbeddings, type Unused } from './labelled-embeddings.js';
import { multilabelTrainingJson } from './multilabel-json.js';
import type { StoredEmbeddings } from './stored-embeddings.js';
import { trainClasses, type TrainedHead, type TrainOptions } from './train.js';

export interface TrainedMultilabelHead {
  kind: 'multilabel';
  head: Head;
  dataset: DatasetRecord;
  /** Further views that were learnt from, of all pictures together. */
  views: number;
  /** On the pictures that were learnt from. */
  train: MultilabelResult;
  /** On pictures that the head, or in cross-validation the fold's head, has not seen; undefined where there are none. */
  validation: MultilabelResult | undefined;
  /** Where the validation pictures come from. */
  validatedOn: Division['from'];
  /** Undefined where there was none. */
  crossValidation: MultilabelHeldOutResult | undefined;
  /** On the validation pictures; undefined where there are none. */
  baselines: MultilabelBaselines | undefined;
  /** Undefined where it was not asked for, or there are no validation pictures. */
  learningCurve: MultilabelCurvePoint[] | undefined;
  unused: Unused;
}

/**
 * As `trainFromStore`; where the pictures have lists of labels, it trains a multilabel head, see `tuneMultilabelHead`.
 * @throws {UsageError} where an option is out of its range, or class weights are wanted of a multilabel head
 */
export async function trainAnyFromStore(
  options: TrainOptions = {},
): Promise<TrainedHead | TrainedMultilabelHead> {
  return withLabelledEmbeddings({ views: VIEW_SETS, ...options }, async (stored) =>
    stored.labelSets ? trainLabels(stored, stored.labelSets, options) : trainClasses(stored, options),
  );
}

async function trainLabels(
  stored: StoredEmbeddings,
  labelSets: readonly (readonly string[])[],
  options: TrainOptions,
): Promise<TrainedMultilabelHead> {
  checkOptions(options, stored.record.dataset);
  const graph = await SoftmaxGraph.create('multilabel');
  try {
    return await train(graph, stored, labelSets, options);
  } finally {
    await graph.release();
  }
}

function checkOptions({ classWeights = 'none' }: TrainOptions, dataset: string): void {
  const has = `the pictures of ${dataset} have lists of labels`;
  if (classWeights !== 'none') {
    throw new UsageError(
      `Class weights are for pictures of one class each, and ${has}. Leave --class-weights out; the manifest's column ` +
        `weight says how much each picture counts.`,
    );
  }
}

async function train(
  graph: SoftmaxGraph,
  stored: StoredEmbeddings,
  labelSets: readonly (readonly string[])[],
  options: TrainOptions,
): Promise<TrainedMultilabelHead> {
  const { record, source } = stored;
  const {
    names,
    classes,
    sets = [],
    train: part,
    validation: heldOut,
    from,
    groups,
  } = divide(stored, options);
  const weights = rowWeights({ names, classes, ...(stored.weights && { sampleWeights: stored.weights }) });
  const examples: Examples = { source, names, classes, sets, ...(weights && { weights }) };
  const ids = { modelId: record.model_id, transformId: record.transform_id };
  const {
    head,
    crossValidation,
    trials: tried,
  } = await tuneMultilabelHead(graph, examples, { ...options, ...ids, part, groups });
  if (!crossValidation && options.folds !== 0) {
    options.onNotice?.(
      'There are too few pictures that differ for cross-validation, so that neither the penalty nor thresholds are chosen ' +
        'by them, and probabilities are not calibrated.',
    );
  }

  const known = new Set(names);
  const judge = async (judged: Part): Promise<MultilabelResult> => {
    options.signal?.throwIfAborted();
    const evaluation = new MultilabelEvaluation(names);
    await judgeMultilabelHead(graph, examples, judged, head, evaluation);
    labelSets.forEach((labels, row) => {
      if (!judged(row)) return;
      for (const label of labels) if (!known.has(label)) evaluation.addUnknown(label);
    });
    return evaluation.result();
  };
  const isHeldOut = from === 'validation split' || from === 'held-out part';
  const trials = isHeldOut ? { examples, folds: [{ train: part, judge: heldOut }] } : tried;
  const validation = isHeldOut ? await judge(heldOut) : crossValidation?.evaluation;
  const result = {
    kind: 'multilabel' as const,
    dataset: record,
    views: viewsLearntFrom(examples, part),
    train: await judge(part),
    validation,
    validatedOn: !isHeldOut && crossValidation ? ('cross-validation' as const) : from,
    crossValidation,
    baselines: trials && (await multilabelBaselines(graph, trials.examples, trials.folds)),
    learningCurve:
      options.learningCurve && trials
        ? await multilabelLearningCurve(graph, trials.examples, {
            ...{ ...ids, l2: head.l2, trials: trials.folds, groups },
            labelSmoothing: head.training.labelSmoothing ?? 0,
            ...(options.signal && { signal: options.signal }),
          })
        : undefined,
    unused: unusedOf(stored),
  };
  const supports = isHeldOut ? validation?.perLabel.map(({ support }) => support) : undefined;
  const counts = { train: head.counts.train, validation: supports ?? head.counts.validation };
  return { ...result, head: head.with({ counts, metrics: multilabelTrainingJson(result) }) };
}
