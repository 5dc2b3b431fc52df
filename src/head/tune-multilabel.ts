import { outOfFold } from './cross-validate.js';
import type { Examples } from './examples.js';
import {
  fitCrossValidated,
  foldsReport,
  type FoldsReport,
  type FoundByFolds,
  type TuneOptions,
} from './fit-cross-validated.js';
import type { Head } from './head.js';
import { probabilitiesOf } from './judge-multilabel.js';
import { MultilabelEvaluation, type MultilabelResult } from './multilabel-metrics.js';
import { bestThreshold } from './ranking.js';
import type { SoftmaxGraph } from './softmax-graph.js';

/** What cross-validation found of a multilabel head. */
export interface MultilabelHeldOutResult extends FoldsReport {
  /** Each row by a head, and thresholds, that have not seen it. */
  evaluation: MultilabelResult;
}

export interface TunedMultilabelHead {
  /** Trained on the whole part; with thresholds where there was cross-validation, else ½ each. */
  head: Head;
  /** Undefined where there was none. */
  crossValidation: MultilabelHeldOutResult | undefined;
}

/**
 * Trains the best multilabel head that the examples allow: λ is chosen by cross-validation, the head trained on all of
 * them, and each label's threshold chosen by the F1 of the out-of-fold predictions. These predictions are kept in memory.
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
  if (!found) return { head, crossValidation: undefined };
  const judged = await heldOutRows(graph, found);
  const { names } = examples;
  const evaluation = new MultilabelEvaluation(names);
  for (let fold = 0; fold < found.folds; fold++) {
    // Rows that a threshold was chosen by would flatter it.
    const thresholds = thresholdsOf(
      judged.filter((row) => row.fold !== fold),
      names.length,
    );
    for (const row of judged) if (row.fold === fold) evaluation.add(row.truth, row.probabilities, thresholds);
  }
  return {
    head: head.with({ thresholds: thresholdsOf(judged, names.length) }),
    crossValidation: { ...foldsReport(found, options.l2), evaluation: evaluation.result() },
  };
}

/** A row as the head sees it that was trained without its fold. */
interface HeldOutRow {
  fold: number;
  truth: readonly number[];
  probabilities: Float64Array;
}

async function heldOutRows(graph: SoftmaxGraph, found: FoundByFolds): Promise<HeldOutRow[]> {
  const { names, sets = [] } = found.examples;
  const judged: HeldOutRow[] = [];
  for await (const { rows, classes, logits } of outOfFold(graph, found.examples, found, found.models)) {
    rows.forEach((row, i) => {
      judged.push({
        fold: found.foldOf[row] ?? -1,
        truth: sets[classes[i] ?? 0] ?? [],
        probabilities: probabilitiesOf(logits, i, names.length),
      });
    });
  }
  return judged;
}

function thresholdsOf(rows: readonly HeldOutRow[], count: number): number[] {
  return Array.from({ length: count }, (_, n) =>
    bestThreshold(
      Float64Array.from(rows, ({ probabilities }) => probabilities[n] ?? 0),
      Uint8Array.from(rows, ({ truth }) => (truth.includes(n) ? 1 : 0)),
    ),
  );
}
