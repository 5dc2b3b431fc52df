import {
  baselines,
  type Baselines,
  multilabelBaselines,
  type MultilabelBaselines,
} from '../head/baselines.js';
import type { L2Rule, TuneProgress } from '../head/cross-validate.js';
import { judgeHead, judgeMultilabelHead } from '../head/evaluate.js';
import { type Examples, type Part, viewsLearntFrom } from '../head/examples.js';
import type { Head, JsonValue } from '../head/head.js';
import {
  type ClassWeights,
  encodeLabels,
  encodeLabelSets,
  type LabelSets,
  rowWeights,
} from '../head/labels.js';
import type { Iteration } from '../head/lbfgs.js';
import {
  type CurvePoint,
  learningCurve,
  type MultilabelCurvePoint,
  multilabelLearningCurve,
} from '../head/learning-curve.js';
import {
  Evaluation,
  type EvaluationResult,
  MultilabelEvaluation,
  type MultilabelResult,
} from '../head/metrics.js';
import { SoftmaxGraph } from '../head/objective.js';
import { holdOut, joinGroups, strataOf } from '../head/split.js';
import {
  type HeldOutResult,
  type MultilabelHeldOutResult,
  tuneHead,
  tuneMultilabelHead,
} from '../head/tune.js';
import { VIEW_SETS, type ViewSet } from '../image/views.js';
import {
  type Selection,
  type StoredEmbeddings,
  type Unused,
  unusedOf,
  withLabelledEmbeddings,
} from '../store/dataset-rows.js';
import type { DatasetRecord } from '../store/store.js';
import { LastlayerError, UsageError } from '../util/errors.js';

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
    return await trainMultilabel(graph, stored, labelSets, options);
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

async function trainMultilabel(
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
  const weights = rowWeights({ names, classes, sampleWeights: stored.weights });
  const examples: Examples = { source, names, classes, sets, weights };
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
            signal: options.signal,
          })
        : undefined,
    unused: unusedOf(stored),
  };
  const supports = isHeldOut ? validation?.perLabel.map(({ support }) => support) : undefined;
  const counts = { train: head.counts.train, validation: supports ?? head.counts.validation };
  return { ...result, head: head.with({ counts, metrics: multilabelTrainingJson(result) }) };
}

export interface TrainOptions extends Omit<Selection, 'store'> {
  /** Folder or address of the store. Default: `embeddings`. */
  store?: string | undefined;
  /** The further views of the pictures to learn from, of those that were embedded. Default: all of them. */
  views?: readonly ViewSet[] | undefined;
  /** λ of the penalty λ/2 ‖W‖² on the weights of standardised features; by default chosen by cross-validation. */
  l2?: number | undefined;
  /** The λ of the least log loss, or the largest within one standard error of it. Default: `best`. */
  l2Rule?: L2Rule | undefined;
  /** K of K-fold cross-validation, 0 for none. Default: 5, or 3 or 4 where the smallest class is that small. */
  folds?: number | undefined;
  /** Where the data set has no validation split: the part of each class to hold out for one. Default: 0. */
  holdOut?: number | undefined;
  /** How much each class counts. Default: `none`, all examples alike. */
  classWeights?: ClassWeights | undefined;
  /** ε, 0 ≤ ε < 1. Default: 0. */
  labelSmoothing?: number | undefined;
  /** Measure how accuracy grows with the number of pictures. Default: false. */
  learningCurve?: boolean | undefined;
  signal?: AbortSignal | undefined;
  onIteration?: ((progress: Iteration) => void) | undefined;
  onFit?: ((progress: TuneProgress) => void) | undefined;
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
async function trainClasses(stored: StoredEmbeddings, options: TrainOptions): Promise<TrainedHead> {
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
    sampleWeights: stored.weights,
    classWeights: options.classWeights,
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
            signal: options.signal,
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

/** Which rows are learnt from and which are judged. */
interface Division {
  /** The classes, or labels, of the rows that are learnt from. */
  names: string[];
  /** Each row's class, −1 where none of those that are learnt from has it, or its set; [M]. */
  classes: Int32Array;
  /** Where rows have any number of labels. */
  sets?: LabelSets | undefined;
  train: Part;
  validation: Part;
  from: 'validation split' | 'held-out part' | 'cross-validation' | 'nothing';
  /** What each row belongs to; [M]. */
  groups: readonly string[];
}

/**
 * Pictures of the training split and those without a split are learnt from, unless a part of them is held out.
 * @throws {LastlayerError} where the labels are not enough to learn from; see `encodeLabels` and `encodeLabelSets`
 */
export function divide(
  { splits, labels, labelSets, contents, groups: ownGroups, record }: StoredEmbeddings,
  {
    holdOut: fraction = 0,
    onNotice,
  }: { holdOut?: number | undefined; onNotice?: ((line: string) => void) | undefined },
): Division {
  const groups = joinGroups(contents, ownGroups);
  const held = new Uint8Array(labels.length);
  let from: Division['from'] = 'nothing';
  if (splits.includes('val')) {
    from = 'validation split';
    if (fraction !== 0) {
      onNotice?.(`${record.dataset} has a validation split, which is judged on; nothing more is held out.`);
    }
    splits.forEach((split, row) => {
      if (split === 'val') held[row] = 1;
    });
  } else if (fraction !== 0) {
    from = 'held-out part';
    const rows = [...splits.keys()].filter((row) => splits[row] !== 'test');
    const parts = labelSets ? strataNames(labelSets, (row) => splits[row] !== 'test') : labels;
    const { validation } = holdOut({
      labels: rows.map((row) => parts[row] ?? ''),
      ids: rows.map((row) => contents[row] ?? ''),
      groups: rows.map((row) => groups[row] ?? ''),
      fraction,
    });
    for (const i of validation) held[rows[i] ?? 0] = 1;
  }
  const validation: Part = (row) => held[row] === 1;
  const train: Part = (row) => held[row] !== 1 && splits[row] !== 'test';
  const encoded = labelSets ? encodeLabelSets(labelSets, train) : encodeClasses(labels, train);

  const learnt = new Set(groups.filter((_, row) => train(row)));
  const straddling = groups.filter((group, row) => validation(row) && learnt.has(group)).length;
  if (straddling > 0) {
    onNotice?.(
      `${straddling} validation pictures of ${record.dataset} equal a training picture, or are of a group that is in ` +
        `training too: what is measured on them is too good.`,
    );
  }
  return { ...encoded, train, validation, from, groups };
}

function encodeClasses(labels: readonly string[], train: Part) {
  const { names } = encodeLabels(labels.filter((_, row) => train(row)));
  const numbers = new Map(names.map((name, n) => [name, n]));
  return { names, classes: Int32Array.from(labels, (label) => numbers.get(label) ?? -1) };
}

/** Names of what each row is held out by, where it has any number of labels. */
function strataNames(labelSets: readonly (readonly string[])[], isIn: Part): string[] {
  return Array.from(strataOf(encodeLabelSets(labelSets, isIn), isIn).of, String);
}

/** What was measured in training as JSON holds it: a head's `metrics`. */
export function trainingJson(
  trained: Pick<
    TrainedHead,
    'train' | 'validation' | 'validatedOn' | 'crossValidation' | 'baselines' | 'learningCurve'
  >,
): { [key: string]: JsonValue } {
  const { train, validation, validatedOn, crossValidation, baselines, learningCurve } = trained;
  return {
    train: metricsJson(train),
    validation: validation ? metricsJson(validation) : null,
    validatedOn,
    crossValidation: crossValidation ? crossValidationJson(crossValidation) : null,
    baselines: baselines
      ? {
          nearestCentroid: { ...baselines.nearestCentroid },
          nearestNeighbours: { ...baselines.nearestNeighbours },
        }
      : null,
    learningCurve: learningCurve?.map((point) => ({ ...point })) ?? null,
  };
}

function crossValidationJson(found: NonNullable<TrainedHead['crossValidation']>): JsonValue {
  const { folds, rule, path, chosen, rows, neverHeld, temperature, unknown, evaluation, uncalibrated } =
    found;
  return {
    folds,
    rule: rule ?? null,
    path: path.map((point) => ({ ...point })),
    chosen: { ...chosen },
    rows,
    neverHeld,
    temperature,
    unknown: unknown ? { ...unknown } : null,
    uncalibrated: { ...uncalibrated },
    outOfFold: metricsJson(evaluation),
  };
}

/** An evaluation of a multilabel head as JSON holds it. */
export function multilabelMetricsJson({
  perLabel,
  unknown,
  calibration,
  ...figures
}: MultilabelResult): JsonValue {
  return {
    ...figures,
    calibration: { ...calibration, bins: calibration.bins.map((bin) => ({ ...bin })) },
    perLabel: perLabel.map((metrics) => ({ ...metrics })),
    unknown: unknown.map((each) => ({ ...each })),
  };
}

/** What was measured in the training of a multilabel head as JSON holds it: the head's `metrics`. */
export function multilabelTrainingJson({
  train,
  validation,
  validatedOn,
  crossValidation,
  baselines,
  learningCurve,
}: Pick<
  TrainedMultilabelHead,
  'train' | 'validation' | 'validatedOn' | 'crossValidation' | 'baselines' | 'learningCurve'
>): {
  [key: string]: JsonValue;
} {
  return {
    train: multilabelMetricsJson(train),
    validation: validation ? multilabelMetricsJson(validation) : null,
    validatedOn,
    crossValidation: crossValidation
      ? {
          folds: crossValidation.folds,
          rule: crossValidation.rule ?? null,
          path: crossValidation.path.map((point) => ({ ...point })),
          chosen: { ...crossValidation.chosen },
          rows: crossValidation.rows,
          neverHeld: crossValidation.neverHeld,
          temperature: crossValidation.temperature,
          uncalibrated: { ...crossValidation.uncalibrated },
          outOfFold: multilabelMetricsJson(crossValidation.evaluation),
        }
      : null,
    baselines: baselines ? { ...baselines } : null,
    learningCurve: learningCurve?.map((point) => ({ ...point })) ?? null,
  };
}

/** An evaluation as JSON holds it: the confusion matrix as rows, true classes down and predicted ones across. */
export function metricsJson({
  confusion,
  topK,
  perClass,
  calibration,
  unknown,
  ...figures
}: EvaluationResult): JsonValue {
  return {
    ...figures,
    topK: { ...topK },
    calibration: { ...calibration, bins: calibration.bins.map((bin) => ({ ...bin })) },
    perClass: perClass.map((metrics) => ({ ...metrics })),
    confusion: confusion.to2DArray(),
    unknown: unknown.map((each) => ({ ...each })),
  };
}
