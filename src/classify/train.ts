import { baselines } from '../head/baselines.js';
import type { L2Rule } from '../head/choose-l2.js';
import { evaluateHead } from '../head/evaluate.js';
import { countLabels, countViews, rowWeights, type ClassWeights, type Examples } from '../head/examples.js';
import { pictureKeys, type Head } from '../head/head.js';
import type { Iteration } from '../head/lbfgs.js';
import { learningCurve, type CurvePoint } from '../head/learning-curve.js';
import type { EvaluationResult, MultilabelResult } from '../head/metrics.js';
import { HeadGraph } from '../head/objective.js';
import { holdOut, joinGroups } from '../head/split.js';
import {
  multilabelTask,
  softmaxTask,
  type Baselines,
  type MultilabelBaselines,
  type RowMask,
  type Targets,
  type Task,
} from '../head/task.js';
import { tuneHead, type HeldOutResult, type TuneProgress } from '../head/train.js';
import type { UnknownRate, UnknownRule } from '../head/unknown.js';
import { VIEW_SETS, type ViewSet } from '../image/views.js';
import { withDatasetEmbeddings, type DatasetEmbeddings, type Selection } from '../store/dataset-rows.js';
import type { DatasetRecord } from '../store/store.js';
import { LastlayerError } from '../util/errors.js';
import { toJson, type JsonValue } from '../util/json.js';

export interface TrainOptions extends Selection {
  /** The augmented views to train on, out of those that were embedded. @default all of them */
  views?: readonly ViewSet[] | undefined;
  /** λ of the penalty λ/2 ‖W‖² on the weights of half-whitened features. @default chosen by cross-validation */
  l2?: number | undefined;
  /** The λ of the least log loss, or the largest within one standard error of it. @default 'best' */
  l2Rule?: L2Rule | undefined;
  /** K of K-fold cross-validation, 0 for none. @default 5, or 3 or 4 if the smallest class is that small */
  folds?: number | undefined;
  /** The fraction of each class to hold out for validation if the data set has no validation split. @default 0 */
  holdOut?: number | undefined;
  /** How much each class counts. @default 'none', all pictures alike */
  classWeights?: ClassWeights | undefined;
  /** ε, 0 ≤ ε < 1. @default 0 */
  labelSmoothing?: number | undefined;
  /** Which pictures are called unknown. @default 0.05 */
  unknown?: UnknownRate | undefined;
  /** Measure how the head improves with the number of pictures. @default false */
  learningCurve?: boolean | undefined;
  signal?: AbortSignal | undefined;
  onIteration?: ((progress: Iteration) => void) | undefined;
  onFit?: ((progress: TuneProgress) => void) | undefined;
}

/** A head and how good it is, with the metrics of its task. */
interface Trained<Result, Simple> {
  head: Head;
  dataset: DatasetRecord;
  /** Augmented views that were trained on, of all pictures together. */
  views: number;
  /** On the training pictures. */
  train: Result;
  /** On pictures that the head, or in cross-validation the fold's head, has not seen; undefined if there are none. */
  validation: Result | undefined;
  /** Where the validation pictures come from. */
  validatedOn: DataSplit['from'];
  /** Undefined if there was none. */
  crossValidation: HeldOutResult<Result> | undefined;
  /** On the validation pictures; undefined if there are none. */
  baselines: Simple | undefined;
  /** Undefined if it was not asked for, or there are no validation pictures. */
  learningCurve: CurvePoint[] | undefined;
  /** Pictures that were not used: unreadable, without a label, or of the test split. */
  unused: { failed: number; unlabelled: number; test: number };
}

export type TrainedHead =
  | ({ kind: 'softmax' } & Trained<EvaluationResult, Baselines>)
  | ({ kind: 'multilabel' } & Trained<MultilabelResult, MultilabelBaselines>);

/**
 * Trains a head on the stored embeddings of a data set, see `tuneHead`: a softmax head if each picture has one label, a
 * multilabel head if it has a list of them. The head is evaluated on the validation split or, if there is none, by
 * cross-validation: on each picture by a head that has not seen it. The test split is not touched. Augmented views of a
 * picture are trained on along with it; evaluation uses the center view alone.
 * @throws {LastlayerError} if there is nothing to train on, see `tuneHead` and `withDatasetEmbeddings`
 * @throws {UsageError} if an option is out of its range, or there are class weights for a multilabel head
 * @throws the signal's reason, once it aborts
 */
export async function trainFromStore(options: TrainOptions = {}): Promise<TrainedHead> {
  const selection = { ...options, views: options.views ?? VIEW_SETS };
  return withDatasetEmbeddings(selection, async (stored) => {
    const { record, rows, failed, unlabelled, multilabel } = stored;
    if (rows.length === 0) {
      throw new LastlayerError(
        `${record.dataset} has no labelled pictures (${unlabelled} without a label, ${failed.length} unreadable). Put each ` +
          'picture in a folder named after its class, or give labels in a manifest.',
        'DATASET_UNUSABLE',
      );
    }
    return multilabel
      ? { kind: 'multilabel', ...(await train(multilabelTask, stored, options)) }
      : { kind: 'softmax', ...(await train(softmaxTask, stored, options)) };
  });
}

async function train<Result, Simple>(
  task: Task<Result, Simple>,
  stored: DatasetEmbeddings,
  options: TrainOptions,
): Promise<Trained<Result, Simple>> {
  const { record, rows, source } = stored;
  const { labels, targets, train: trainMask, validation: heldOut, from, groups } = splitRows(task, stored, options);
  const { classWeights } = options;
  const sampleWeights = rows.map(({ weight = 1 }) => weight);
  const weights = rowWeights({ task, ...targets, mask: trainMask, sampleWeights, classWeights });
  const examples: Examples = { task, source, ...targets, weights };
  const ids = { modelId: record.model_id, transformId: record.transform_id };

  return HeadGraph.with(task, async (graph) => {
    const tuned = await tuneHead(task, graph, examples, { ...options, ...ids, mask: trainMask, groups });
    const { head, crossValidation } = tuned;
    if (!crossValidation && options.folds !== 0) {
      options.onNotice?.(
        'Too few pictures differ for cross-validation, so it chooses neither the penalty nor any threshold, and ' +
          'probabilities are not calibrated.',
      );
    }
    const evaluate = async (mask: RowMask): Promise<Result> => {
      options.signal?.throwIfAborted();
      const evaluator = task.evaluator(targets.names, { thresholds: head.thresholds });
      await evaluateHead(graph, examples, mask, head, evaluator);
      const known = new Set(targets.names);
      labels.forEach((list, row) => {
        if (!mask(row)) return;
        for (const label of list) if (!known.has(label)) evaluator.addUnknown(label);
      });
      return evaluator.result();
    };
    const isHeldOut = from === 'validation split' || from === 'held-out part';
    const evaluatedOn = isHeldOut
      ? { examples, folds: [{ train: trainMask, validation: heldOut }], means: undefined }
      : tuned.evaluatedOn;
    const validated = isHeldOut ? await evaluate(heldOut) : crossValidation?.evaluation;
    const result = {
      train: await evaluate(trainMask),
      validation: validated,
      validatedOn: !isHeldOut && crossValidation ? ('cross-validation' as const) : from,
      crossValidation,
      baselines:
        evaluatedOn && validated
          ? await baselines(
              task,
              graph,
              evaluatedOn.examples,
              evaluatedOn.folds,
              { result: validated, counts: head.counts.train },
              evaluatedOn.means,
            )
          : undefined,
      learningCurve:
        options.learningCurve && evaluatedOn
          ? await learningCurve(task, graph, evaluatedOn.examples, {
              ...ids,
              l2: head.l2,
              labelSmoothing: head.training.labelSmoothing,
              folds: evaluatedOn.folds,
              groups,
              signal: options.signal,
            })
          : undefined,
    };
    const { train: counted, validation } = head.counts;
    return {
      ...result,
      head: head.with({
        counts: { train: counted, validation: isHeldOut ? countLabels(examples, heldOut) : validation },
        metrics: trainingJson(result),
        trainedOn: pictureKeys(rows.flatMap(({ digest }, row) => (trainMask(row) ? digest : []))),
      }),
      dataset: record,
      views: countViews(examples, trainMask),
      unused: {
        failed: stored.failed.length,
        unlabelled: stored.unlabelled,
        test: rows.filter(({ split }) => split === 'test').length,
      },
    };
  });
}

/** Which rows are trained on, and which are evaluated on. */
export interface DataSplit {
  /** Each row's labels; [M]. */
  labels: readonly (readonly string[])[];
  /** By the labels of the training rows. */
  targets: Targets;
  train: RowMask;
  validation: RowMask;
  from: 'validation split' | 'held-out part' | 'cross-validation' | 'nothing';
  /** What each row belongs to; [M]. */
  groups: readonly string[];
}

/**
 * Pictures of the training split and those without a split are trained on, except for the fraction that is held out.
 * @throws {LastlayerError} if all pictures are to evaluate on, or the labels are not enough to train on; see `Task.encode`
 */
export function splitRows(
  task: Task,
  stored: DatasetEmbeddings,
  { holdOut: fraction = 0, onNotice }: Pick<TrainOptions, 'holdOut' | 'onNotice'>,
): DataSplit {
  const { rows, record } = stored;
  const labels = rows.map((row) => row.labels ?? [row.label!]);
  const splits = rows.map(({ split }) => split);
  if (splits.every((split) => split === 'val' || split === 'test')) {
    throw new LastlayerError(nothingToTrainOn(stored), 'DATASET_UNUSABLE');
  }
  const digests = rows.map(({ digest }) => digest);
  const groups = joinGroups(
    digests,
    rows.map(({ group }) => group),
  );
  const held = new Uint8Array(labels.length);
  let from: DataSplit['from'] = 'nothing';
  if (splits.includes('val')) {
    from = 'validation split';
    if (fraction !== 0) {
      onNotice?.(`${record.dataset} has a validation split, so nothing else is held out.`);
    }
    splits.forEach((split, row) => {
      if (split === 'val') held[row] = 1;
    });
  } else if (fraction !== 0) {
    from = 'held-out part';
    const mask = (row: number) => splits[row] !== 'test';
    const divided = [...rows.keys()].filter(mask);
    const strata = task.strata(task.encode(labels, mask), mask);
    const { validation } = holdOut({
      labels: divided.map((row) => String(strata.of[row])),
      ids: divided.map((row) => digests[row]!),
      groups: divided.map((row) => groups[row]!),
      fraction,
    });
    for (const i of validation) held[divided[i]!] = 1;
  }
  const validation: RowMask = (row) => held[row] === 1;
  const train: RowMask = (row) => held[row] !== 1 && splits[row] !== 'test';
  const trained = new Set(groups.filter((_, row) => train(row)));
  const straddling = groups.filter((group, row) => validation(row) && trained.has(group)).length;
  if (straddling > 0) {
    onNotice?.(
      `${straddling} validation pictures of ${record.dataset} are identical to a training picture, or in a group with one. ` +
        'Metrics on them are too good.',
    );
  }
  return { labels, targets: task.encode(labels, train), train, validation, from, groups };
}

function nothingToTrainOn({ record, rows }: DatasetEmbeddings): string {
  const [first, second] = (['val', 'test'] as const).filter((name) => rows.some(({ split }) => split === name));
  return (
    `${record.dataset} has nothing to train on: its ${rows.length} pictures are all in the split ${first}` +
    `${second ? ` or ${second}` : ''}, to evaluate on. Add a train split. Or, to train on these, embed them without a split: ` +
    `name the folder ${first} itself as the data set, or leave out the column split.`
  );
}

/** The metrics of a training as JSON holds them. */
export function trainingJson(
  trained: Pick<
    Trained<unknown, unknown>,
    'train' | 'validation' | 'validatedOn' | 'crossValidation' | 'baselines' | 'learningCurve'
  >,
): { [key: string]: JsonValue } {
  const { train, validation, validatedOn, crossValidation, baselines: simple, learningCurve: curve } = trained;
  const { evaluation, thresholds, unknown, ...found } = crossValidation ?? {};
  return toJson({
    train,
    validation: validation ?? null,
    validatedOn,
    crossValidation: crossValidation
      ? {
          ...found,
          rule: crossValidation.rule ?? null,
          unknown: unknown ? figuresOf(unknown) : null,
          outOfFold: evaluation,
        }
      : null,
    baselines: simple ?? null,
    learningCurve: curve ?? null,
  });
}

/** The scores are in the head itself. */
function figuresOf({ rate, flaggedRight, flaggedWrong }: UnknownRule): JsonValue {
  return { rate, flaggedRight, flaggedWrong };
}
