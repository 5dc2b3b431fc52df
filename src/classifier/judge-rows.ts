import { readEmbeddings, type EmbeddingRow } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import { openDataset, type Split } from '../images/index.js';
import { meanEmbedding, type Classifier } from './classifier.js';
import type { EvaluateOptions } from './evaluate.js';

/** What became of the pictures of a data set. */
export interface JudgedRows {
  /** The split that was judged; undefined where the data set has none. */
  split: Split | undefined;
  done: number;
  /** By path. */
  failed: { path: string; error: string }[];
  unlabelled: number;
}

/**
 * Goes through the pictures to judge by: the given split, else the test split, else the validation split, else everything.
 * @param judge takes a picture's embedding, the mean over the classifier's views, [width], and its row; false where that has
 *   no label to judge by
 * @throws {LastlayerError} where the data set cannot be used or has no pictures of the split
 */
export async function judgeRows(
  { backbone, views }: Classifier,
  path: string,
  options: EvaluateOptions,
  judge: (embedding: Float32Array, row: EmbeddingRow) => boolean,
): Promise<JudgedRows> {
  const { split, total } = await partToJudge(path, options.split);
  const failed: { path: string; error: string }[] = [];
  let [done, unlabelled] = [0, 0];
  /** Rows of pictures of which views are still to come. */
  const waiting = new Map<string, EmbeddingRow[]>();
  await readEmbeddings(path, {
    ...options,
    backbone,
    ...(split && { split }),
    views: views.filter((view) => view !== 'center'),
    onRow: (row) => {
      const rows = [...(waiting.get(row.path) ?? []), row];
      waiting.set(row.path, rows);
      if (row.embedding && rows.length < views.length) return;
      waiting.delete(row.path);
      options.onProgress?.({ done: ++done, total });
      const center = rows.find(({ view }) => view === 'center') ?? row;
      if (!row.embedding) failed.push({ path: row.path, error: row.error ?? 'no embedding' });
      else if (!judge(meanEmbedding(rows.flatMap(({ embedding }) => embedding ?? [])), center)) unlabelled++;
    },
  });
  failed.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { split, done, failed, unlabelled };
}

async function partToJudge(
  path: string,
  wanted: Split | undefined,
): Promise<{ split: Split | undefined; total: number }> {
  const dataset = await openDataset(path);
  const counts = new Map<Split | undefined, number>();
  for await (const { split } of dataset.entries()) counts.set(split, (counts.get(split) ?? 0) + 1);
  const split = wanted ?? (['test', 'val'] as const).find((name) => counts.has(name));
  const all = [...counts.values()].reduce((sum, n) => sum + n, 0);
  const total = split === undefined ? all : (counts.get(split) ?? 0) + (counts.get(undefined) ?? 0);
  if (total === 0) {
    throw new LastlayerError(
      `There are no pictures${split ? ` of the split ${split}` : ''} in ${dataset.root}.`,
    );
  }
  return { split, total };
}
