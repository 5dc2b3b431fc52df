import type { Head } from '../head/head.js';
import { MultilabelEvaluation, type MultilabelResult } from '../head/metrics.js';
import type { DatasetEmbeddings } from '../store/dataset-rows.js';
import { sigmoid } from '../util/math.js';
import { strangeData } from './judged.js';
import { type Novelty, predictNew } from './predict-new.js';

/** A picture with any number of labels, and what was made of it. */
export interface JudgedSet {
  row: number;
  path: string;
  /** Ascending numbers of the labels, in the order of the head's. */
  truth: readonly number[];
  predicted: readonly number[];
  /** Of each label; [N]; 0 … 1. */
  probabilities: Float64Array;
}

export interface JudgedSets extends Novelty {
  pictures: JudgedSet[];
  evaluation: MultilabelResult;
}

/**
 * Judges a multilabel head on pictures that are new to it, see `predictNew`.
 * @throws {LastlayerError} where no picture has a label that the head knows
 */
export async function judgeSets(
  stored: DatasetEmbeddings,
  head: Head,
  signal: AbortSignal | undefined,
): Promise<JudgedSets> {
  const { rows } = stored;
  const thresholds = head.thresholds ?? [];
  const numbers = new Map(head.labels.map((label, n) => [label, n]));
  const sets = rows.map(({ labels = [] }) =>
    labels.flatMap((label) => numbers.get(label) ?? []).sort((a, b) => a - b),
  );
  const evaluation = new MultilabelEvaluation(head.labels);
  const pictures: JudgedSet[] = [];
  const add = (row: number, logits: Float32Array, at: number): void => {
    const probabilities = Float64Array.from(logits.subarray(at, at + head.labels.length), (z) =>
      sigmoid(z / head.temperature),
    );
    const truth = sets[row] ?? [];
    evaluation.add(truth, probabilities, thresholds);
    for (const label of rows[row]!.labels ?? []) if (!numbers.has(label)) evaluation.addUnknown(label);
    const predicted = head.labels.flatMap((_, n) =>
      (probabilities[n] ?? 0) >= (thresholds[n] ?? 1) ? [n] : [],
    );
    pictures.push({ row, path: rows[row]!.path, truth, predicted, probabilities });
  };
  // Each row is a set of its own.
  const targets = { labelSets: sets, targets: Int32Array.from(sets, (_, row) => row) };
  const novelty = await predictNew(stored, head, targets, add, signal);
  if (!pictures.some(({ truth }) => truth.length > 0)) throw strangeData(stored, head);
  pictures.sort((a, b) => a.row - b.row);
  return { ...novelty, pictures, evaluation: evaluation.result() };
}
