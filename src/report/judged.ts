import { divide, type StoredEmbeddings } from '../classifier/index.js';
import { LastlayerError } from '../errors.js';
import {
  Evaluation,
  predictOutOfFold,
  softmaxInto,
  SoftmaxGraph,
  type EvaluationResult,
  type Head,
  type Part,
} from '../head/index.js';

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

export interface Judged {
  /** What they are, in words: how they come to be new to the head. */
  on: string;
  /** False where the head has learnt from them, for want of others. */
  isNew: boolean;
  pictures: JudgedPicture[];
  evaluation: EvaluationResult;
}

/**
 * What the head says of the validation split or, where there is none, what heads like it say of pictures that they have not
 * seen.
 * @throws {LastlayerError} where no picture is of a class that the head knows
 */
export async function judgePictures(
  stored: StoredEmbeddings,
  head: Head,
  signal: AbortSignal | undefined,
): Promise<Judged> {
  const { source, labels, paths } = stored;
  const division = divide(stored, {});
  const numbers = new Map(head.labels.map((label, n) => [label, n]));
  const classes = Int32Array.from(labels, (label) => numbers.get(label) ?? -1);
  const evaluation = new Evaluation(head.labels);
  const pictures: JudgedPicture[] = [];
  const probabilities = new Float64Array(head.labels.length);
  const add = (row: number, logits: Float32Array, at: number): void => {
    const label = classes[row] ?? -1;
    if (label < 0) {
      evaluation.addUnknown(labels[row] ?? '');
      return;
    }
    softmaxInto(probabilities, logits, at * probabilities.length, head.temperature);
    evaluation.add(label, probabilities);
    const predicted = probabilities.indexOf(Math.max(...probabilities));
    pictures.push({
      ...{ row, path: paths[row] ?? '', label, predicted },
      probability: probabilities[predicted] ?? 0,
      probabilityOfLabel: probabilities[label] ?? 0,
    });
  };
  const graph = await SoftmaxGraph.create();
  const byHead = async (part: Part): Promise<void> => {
    const parameters = { W: Float32Array.from(head.weights.to1DArray()), b: head.bias };
    for await (const { rows, features } of source.blocks()) {
      signal?.throwIfAborted();
      const logits = await graph.logits(features, parameters);
      rows.forEach((row, i) => {
        if (part(row)) add(row, logits, i);
      });
    }
  };
  try {
    let [on, isNew] = ['the validation split', true];
    if (division.from === 'validation split') await byHead(division.validation);
    else {
      const found = await predictOutOfFold(
        graph,
        { source, names: head.labels, classes },
        { part: division.train, groups: division.groups, l2: head.l2, ...(signal && { signal }) },
      );
      if (found) {
        on = `${found.folds}-fold cross-validation: each picture by a head that has not seen it`;
        for await (const { rows, logits } of found.predictions()) {
          rows.forEach((row, i) => {
            add(row, logits, i);
          });
        }
      } else {
        [on, isNew] = ['the training pictures themselves, for want of others', false];
        await byHead(division.train);
      }
    }
    if (pictures.length === 0) {
      throw new LastlayerError(
        `No picture of ${stored.record.dataset} is of a class that the head knows (${head.labels.slice(0, 5).join(', ')}). ` +
          `Name the data set that it was trained on with --dataset.`,
      );
    }
    pictures.sort((a, b) => a.row - b.row);
    return { on, isNew, pictures, evaluation: evaluation.result() };
  } finally {
    await graph.release();
  }
}
