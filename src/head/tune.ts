import { Matrix } from 'ml-matrix';
import { calibrate, type CalibratedHeldOut } from './calibrate.js';
import { classMeans, heldOutSimilarities } from './class-means.js';
import { outOfFold } from './cross-validate.js';
import type { Examples } from './examples.js';
import { fitCrossValidated, foldsReport, type FoldsReport, type TuneOptions } from './fit-cross-validated.js';
import type { Head } from './head.js';
import { trialsOf, type Trial } from './judge.js';
import type { SoftmaxGraph } from './softmax-graph.js';

export interface TunedHead {
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
