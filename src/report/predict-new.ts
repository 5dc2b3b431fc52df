import { splitRows } from '../classify/train.js';
import { predictOutOfFold } from '../head/cross-validate.js';
import type { Head } from '../head/head.js';
import { HeadGraph } from '../head/objective.js';
import { taskOf, type RowMask, type Targets } from '../head/task.js';
import type { DatasetEmbeddings } from '../store/dataset-rows.js';

/** How pictures come to be new to the head. */
export interface Novelty {
  /** In words. */
  on: string;
  /** False where the head has learnt from them, for want of others. */
  isNew: boolean;
}

/**
 * What the head says of the validation split or, where there is none, what heads like it say of pictures that they have not
 * seen.
 * @param targets of all rows, by the head's labels
 * @param visit is given each row, and where its logits begin: [N] of them, before the temperature
 */
export async function predictNew(
  stored: DatasetEmbeddings,
  head: Head,
  targets: Omit<Targets, 'names'>,
  visit: (row: number, logits: Float32Array, at: number) => void,
  signal: AbortSignal | undefined,
): Promise<Novelty> {
  const { source } = stored;
  const count = head.labels.length;
  const task = taskOf(head.kind);
  const division = splitRows(task, stored, {});
  const graph = await HeadGraph.create(task);
  const byHead = async (mask: RowMask): Promise<void> => {
    const parameters = { W: Float32Array.from(head.weights.to1DArray()), b: head.bias };
    for await (const { rows, features } of source.blocks()) {
      signal?.throwIfAborted();
      const logits = await graph.logits(features, parameters);
      rows.forEach((row, i) => {
        if (mask(row)) visit(row, logits, i * count);
      });
    }
  };
  try {
    if (division.from === 'validation split') {
      await byHead(division.validation);
      return { on: 'the validation split', isNew: true };
    }
    const found = await predictOutOfFold(
      graph,
      { task, source, names: head.labels, ...targets },
      { mask: division.train, groups: division.groups, l2: head.l2, signal },
    );
    if (!found) {
      await byHead(division.train);
      return { on: 'the training pictures themselves, for want of others', isNew: false };
    }
    for await (const { rows, logits } of found.predictions()) {
      rows.forEach((row, i) => {
        visit(row, logits, i * count);
      });
    }
    return {
      on: `${found.folds}-fold cross-validation: each picture by a head that has not seen it`,
      isNew: true,
    };
  } finally {
    await graph.release();
  }
}
