import type { Examples } from './examples.js';
import type { Trial } from './judge.js';
import { MultilabelEvaluation } from './multilabel-metrics.js';
import { K, largest, MOST_QUERIES, MOST_REFERENCES, sampleOf, similarities } from './nearest-rows.js';
import type { SoftmaxGraph } from './softmax-graph.js';

/** How well labels are told by something simple. */
export interface MultilabelBaselines {
  /** mAP of any order that has nothing to do with the pictures: the mean over labels of the part of rows that has them. */
  chance: number | null;
  /** mAP of the part of the k nearest training rows, by cosine and weighted by it, that has each label. */
  nearestNeighbours: number | null;
  k: number;
  /** Rows that it was judged on. */
  count: number;
}

/** As `baselines`, for rows with any number of labels. */
export async function multilabelBaselines(
  graph: SoftmaxGraph,
  examples: Examples,
  trials: readonly Trial[],
): Promise<MultilabelBaselines> {
  const { names, sets = [] } = examples;
  const evaluation = new MultilabelEvaluation(names);
  for (const { train, judge } of trials) {
    const references = await sampleOf(examples, train, MOST_REFERENCES);
    const queries = await sampleOf(examples, judge, MOST_QUERIES);
    const count = references.classes.length;
    for (const { features, classes } of queries.blocks) {
      const likeness = await similarities(graph, features, references.features, count);
      classes.forEach((set, i) => {
        const scores = new Float64Array(names.length);
        let total = 0;
        const row = likeness.subarray(i * count, (i + 1) * count);
        for (const at of largest(row, K)) {
          const weight = Math.max(0, row[at] ?? 0);
          total += weight;
          for (const n of sets[references.classes[at] ?? 0] ?? []) scores[n] = (scores[n] ?? 0) + weight;
        }
        evaluation.add(sets[set] ?? [], total > 0 ? scores.map((score) => score / total) : scores, []);
      });
    }
  }
  const { count, perLabel, meanAveragePrecision } = evaluation.result();
  const shares = perLabel.filter(({ support }) => support > 0).map(({ support }) => support / count);
  const chance = shares.length === 0 ? null : shares.reduce((sum, share) => sum + share, 0) / shares.length;
  return { chance, nearestNeighbours: meanAveragePrecision, k: K, count };
}
