import { classMeans, directions } from './class-means.js';
import { generateBlocks, type Examples, type Part } from './examples.js';
import type { Trial } from './judge.js';
import { argmax } from './softmax.js';
import type { SoftmaxGraph } from './softmax-graph.js';
import { noScaling } from './standardize.js';
import { wilsonInterval } from './wilson.js';

/** Neighbours that vote. */
const K = 10;

/** Rows that are compared with each other, at most: neighbours cost their product. */
const MOST_REFERENCES = 20_000;
const MOST_QUERIES = 2_000;

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

/** Rows of length 1. */
interface Sample {
  /** [rows × width] */
  features: Float32Array;
  classes: Int32Array;
  blocks: { features: Float32Array; classes: Int32Array }[];
}

/** A part's rows scaled to length 1; of many, evenly chosen ones. */
async function sampleOf(examples: Examples, part: Part, most: number): Promise<Sample> {
  const { width } = examples.source;
  const total = examples.classes.reduce((n, c, row) => (c >= 0 && part(row) ? n + 1 : n), 0);
  const step = Math.max(1, Math.ceil(total / most));
  const rows = Math.ceil(total / step);
  const [all, allClasses] = [new Float32Array(rows * width), new Int32Array(rows)];
  const blocks: Sample['blocks'] = [];
  let [seen, filled] = [0, 0];
  for await (const { features, classes } of generateBlocks(examples, part, noScaling(width))) {
    const first = filled;
    for (let i = 0; i < classes.length; i++) {
      if (seen++ % step !== 0) continue;
      all.set(directions(features.subarray(i * width, (i + 1) * width), width), filled * width);
      allClasses[filled++] = classes[i] ?? 0;
    }
    if (filled > first) {
      const block = all.subarray(first * width, filled * width);
      blocks.push({ features: block, classes: allClasses.subarray(first, filled) });
    }
  }
  return { features: all, classes: allClasses, blocks };
}

/** Scalar products of rows with others; [rows × others]. */
function similarities(graph: SoftmaxGraph, rows: Float32Array, others: Float32Array, count: number) {
  return graph.logits(rows, { W: others, b: new Float32Array(count) });
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

/** The places of the k largest values. */
function largest(values: Float32Array, k: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    if (found.length === k && value <= (values[found[k - 1] ?? 0] ?? 0)) continue;
    let at = found.length;
    while (at > 0 && (values[found[at - 1] ?? 0] ?? 0) < value) at--;
    found.splice(at, 0, i);
    if (found.length > k) found.pop();
  }
  return found;
}
