import type { Head } from '../head/head.js';
import { Evaluation, type EvaluationResult } from '../head/metrics.js';
import type { DatasetEmbeddings } from '../store/dataset-rows.js';
import { LastlayerError } from '../util/errors.js';
import { softmaxInto } from '../util/math.js';
import { type Novelty, predictNew } from './predict-new.js';

/** A picture and what was made of it. */
export interface JudgedPicture {
  row: number;
  path: string;
  /** Numbers of the classes, in the order of the head's labels. */
  label: number;
  predicted: number;
  /** Of the predicted class, and of the true one; 0 … 1. */
  probability: number;
  probabilityOfLabel: number;
}

export interface Judged extends Novelty {
  pictures: JudgedPicture[];
  evaluation: EvaluationResult;
}

/**
 * Judges a head on pictures that are new to it, see `predictNew`.
 * @throws {LastlayerError} where no picture is of a class that the head knows
 */
export async function judgePictures(
  stored: DatasetEmbeddings,
  head: Head,
  signal: AbortSignal | undefined,
): Promise<Judged> {
  const { rows } = stored;
  const numbers = new Map(head.labels.map((label, n) => [label, n]));
  const classes = Int32Array.from(rows, ({ label = '' }) => numbers.get(label) ?? -1);
  const evaluation = new Evaluation(head.labels);
  const pictures: JudgedPicture[] = [];
  const probabilities = new Float64Array(head.labels.length);
  const add = (row: number, logits: Float32Array, at: number): void => {
    const label = classes[row] ?? -1;
    if (label < 0) {
      evaluation.addUnknown(rows[row]!.label ?? '');
      return;
    }
    softmaxInto(probabilities, logits, at, head.temperature);
    evaluation.add(label, probabilities);
    const predicted = probabilities.indexOf(Math.max(...probabilities));
    pictures.push({
      row,
      path: rows[row]!.path,
      label,
      predicted,
      probability: probabilities[predicted] ?? 0,
      probabilityOfLabel: probabilities[label] ?? 0,
    });
  };
  const novelty = await predictNew(
    stored,
    head,
    { labelSets: head.labels.map((_, n) => [n]), targets: classes },
    add,
    signal,
  );
  if (pictures.length === 0) throw strangeData(stored, head);
  pictures.sort((a, b) => a.row - b.row);
  return { ...novelty, pictures, evaluation: evaluation.result() };
}

/** What there is to say where the data have nothing to do with the head. */
export function strangeData({ record }: DatasetEmbeddings, head: Head): LastlayerError {
  return new LastlayerError(
    `No picture of ${record.dataset} is of a class that the head knows (${head.labels.slice(0, 5).join(', ')}). Name the data ` +
      `set that it was trained on with --dataset.`,
  );
}
