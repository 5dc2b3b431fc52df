import { Matrix } from 'ml-matrix';
import { classMeans, heldOutSimilarities } from './baselines.js';
import { calibrate, type CalibratedHeldOut, fitLabelTemperature, type LabelledLogits } from './calibrate.js';
import {
  fitCrossValidated,
  foldsReport,
  type FoldsReport,
  type FoundByFolds,
  outOfFold,
  type TuneOptions,
} from './cross-validate.js';
import { probabilitiesOf, type Trial, trialsOf } from './evaluate.js';
import type { Examples } from './examples.js';
import type { Head } from './head.js';
import { bestThreshold, MultilabelEvaluation, type MultilabelResult } from './metrics.js';
import type { SoftmaxGraph } from './objective.js';

interface TunedHead {
  /** Trained on the whole part, calibrated where there was cross-validation. */
  head: Head;
  /** Undefined where there was none. */
  crossValidation: HeldOutResult | undefined;
  /** The folds, and the examples that they are of: those that were given, or a part of them with the same row numbers. */
  trials: { examples: Examples; folds: Trial[] } | undefined;
}

/** What cross-validation found. */
export type HeldOutResult = CalibratedHeldOut & FoldsReport;

/**
 * Trains the best head that the examples allow: λ is chosen by cross-validation, the head trained on all of them, and its
 * temperature and threshold fitted to the out-of-fold predictions of the chosen λ.
 * @throws {UsageError} where an option is out of its range
 * @throws as {@link fitHead} does
 */
export async function tuneHead(
  graph: SoftmaxGraph,
  examples: Examples,
  options: TuneOptions,
): Promise<TunedHead> {
  const { head, found } = await fitCrossValidated(graph, examples, options);
  if (!found) return { head, crossValidation: undefined, trials: undefined };

  const { part, foldOf, folds, held } = found;
  const trials = trialsOf(part, foldOf, folds);
  const calibrated = await calibrate(
    () => outOfFold(graph, found.examples, found, found.models),
    held,
    await heldOutSimilarities(graph, found.examples, trials),
    examples.names,
  );
  const { temperature, unknown } = calibrated;
  const means = Matrix.from1DArray(head.labels.length, head.width, await classMeans(examples, options.part));
  return {
    head: head.with({ temperature, unknown: unknown && { means, threshold: unknown.threshold } }),
    trials: { examples: found.examples, folds: trials },
    crossValidation: {
      ...calibrated,
      ...foldsReport(found, options.l2),
    },
  };
}

/** What cross-validation found of a multilabel head. */
export interface MultilabelHeldOutResult extends FoldsReport {
  /** T of σ(z / T) */
  temperature: number;
  /** Each row by a head, and thresholds, that have not seen it; with σ(z / T), whose one T is fitted to all of them. */
  evaluation: MultilabelResult;
  /** With σ(z). */
  uncalibrated: { logLoss: number | null; ece: number | null };
}

interface TunedMultilabelHead {
  /** Trained on the whole part; with temperature and thresholds where there was cross-validation, else 1 and ½ each. */
  head: Head;
  /** Undefined where there was none. */
  crossValidation: MultilabelHeldOutResult | undefined;
  /** The folds, and the examples that they are of, see `TunedHead`. */
  trials: TunedHead['trials'];
}

/**
 * Trains the best multilabel head that the examples allow: λ is chosen by cross-validation, the head trained on all of
 * them, its temperature fitted to the out-of-fold predictions, and each label's threshold chosen by their F1. These predictions
 * are kept in memory.
 * @param examples with `sets`
 * @throws {UsageError} where an option is out of its range
 * @throws as `fitHead` does
 */
export async function tuneMultilabelHead(
  graph: SoftmaxGraph,
  examples: Examples,
  options: TuneOptions,
): Promise<TunedMultilabelHead> {
  const { head, found } = await fitCrossValidated(graph, examples, options);
  if (!found) return { head, crossValidation: undefined, trials: undefined };
  const { names } = examples;
  const rows = await heldOutRows(graph, found);
  const temperature = fitLabelTemperature(rows);
  const [judged, before] = [judgedAt(rows, temperature), judgedAt(rows, 1)];
  const evaluation = new MultilabelEvaluation(names);
  for (let fold = 0; fold < found.folds; fold++) {
    // Rows that a threshold was chosen by would flatter it.
    const thresholds = thresholdsOf(
      judged.filter((row) => row.fold !== fold),
      names.length,
    );
    for (const row of judged) if (row.fold === fold) evaluation.add(row.truth, row.probabilities, thresholds);
  }
  const uncalibrated = new MultilabelEvaluation(names);
  for (const { truth, probabilities } of before) uncalibrated.add(truth, probabilities, []);
  const { logLoss, calibration } = uncalibrated.result();
  return {
    head: head.with({ temperature, thresholds: thresholdsOf(judged, names.length) }),
    trials: { examples: found.examples, folds: trialsOf(found.part, found.foldOf, found.folds) },
    crossValidation: {
      ...foldsReport(found, options.l2),
      temperature,
      evaluation: evaluation.result(),
      uncalibrated: { logLoss, ece: calibration.ece },
    },
  };
}

/** A row as the head sees it that was trained without its fold. */
interface HeldOutRow extends LabelledLogits {
  fold: number;
}

interface JudgedRow extends HeldOutRow {
  probabilities: Float64Array;
}

function judgedAt(rows: readonly HeldOutRow[], temperature: number): JudgedRow[] {
  return rows.map((row) => ({
    ...row,
    probabilities: probabilitiesOf(row.logits, 0, row.logits.length, temperature),
  }));
}

async function heldOutRows(graph: SoftmaxGraph, found: FoundByFolds): Promise<HeldOutRow[]> {
  const { names, sets = [] } = found.examples;
  const held: HeldOutRow[] = [];
  for await (const block of outOfFold(graph, found.examples, found, found.models)) {
    const { rows, classes, logits, weights } = block;
    rows.forEach((row, i) => {
      held.push({
        fold: found.foldOf[row]!,
        truth: sets[classes[i]!] ?? [],
        logits: logits.slice(i * names.length, (i + 1) * names.length),
        weight: weights?.[i] ?? 1,
      });
    });
  }
  return held;
}

function thresholdsOf(rows: readonly JudgedRow[], count: number): number[] {
  return Array.from({ length: count }, (_, n) =>
    bestThreshold(
      Float64Array.from(rows, ({ probabilities }) => probabilities[n]!),
      Uint8Array.from(rows, ({ truth }) => (truth.includes(n) ? 1 : 0)),
    ),
  );
}
