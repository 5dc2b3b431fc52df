import { classMeans } from './class-means.js';
import type { Examples } from './examples.js';
import type { Trial } from './judge.js';
import { K, largest, MOST_QUERIES, MOST_REFERENCES, sampleOf, similarities } from './nearest-rows.js';
import { argmax } from './softmax.js';
import type { SoftmaxGraph } from './softmax-graph.js';
import { wilsonInterval } from './wilson.js';

/** How often something simple is right. */
export interface Baseline {
  accuracy: number | null;
  /** 95 %, by Wilson. */
  accuracyInterval: [number, number] | null;
  /** Rows that it was judged on. */
  count: number;
}

export interface Baselines {
  /** The class whose mean embedding is nearest by cosine. */
  nearestCentroid: Baseline;
  /** The majority of the k nearest training rows by cosine; of equals, the one whose rows are nearer together. */
  nearestNeighbours: Baseline & { k: number };
}

/**
 * What can be had without training, on the same rows: a head that does no better is not worth its weights. Of many rows,
 * evenly chosen ones are compared: 20,000 to learn from and 2,000 to judge in each trial.
 */
export async function baselines(
  graph: SoftmaxGraph,
  examples: Examples,
  trials: readonly Trial[],
): Promise<Baselines> {
  const classes = examples.names.length;
  let [count, centroid, neighbours] = [0, 0, 0];
  for (const { train, judge } of trials) {
    const references = await sampleOf(examples, train, MOST_REFERENCES);
    const queries = await sampleOf(examples, judge, MOST_QUERIES);
    const centroids = await classMeans(examples, train);
    for (const { features, classes: y } of queries.blocks) {
      const toCentroids = await similarities(graph, features, centroids, classes);
      const toReferences = await similarities(
        graph,
        features,
        references.features,
        references.classes.length,
      );
      y.forEach((c, i) => {
        if (argmax(toCentroids, i * classes, classes) === c) centroid++;
        const row = toReferences.subarray(i * references.classes.length, (i + 1) * references.classes.length);
        if (vote(row, references.classes, classes) === c) neighbours++;
        count++;
      });
    }
  }
  const baseline = (right: number): Baseline => ({
    accuracy: count === 0 ? null : right / count,
    accuracyInterval: wilsonInterval(right, count),
    count,
  });
  return {
    nearestCentroid: baseline(centroid),
    nearestNeighbours: { k: K, ...baseline(neighbours) },
  };
}

function vote(similarity: Float32Array, classes: Int32Array, count: number): number {
  const [votes, nearness] = [new Float64Array(count), new Float64Array(count)];
  for (const at of largest(similarity, K)) {
    const c = classes[at] ?? 0;
    votes[c] = (votes[c] ?? 0) + 1;
    nearness[c] = (nearness[c] ?? 0) + (similarity[at] ?? 0);
  }
  let best = 0;
  for (let c = 1; c < count; c++) {
    const more = (votes[c] ?? 0) - (votes[best] ?? 0);
    if (more > 0 || (more === 0 && (nearness[c] ?? 0) > (nearness[best] ?? 0))) best = c;
  }
  return best;
}
