import { argmax, mean } from '../util/math.js';
import type { Trial } from './evaluate.js';
import { type Examples, generateBlocks, type Part } from './examples.js';
import { MultilabelEvaluation, wilsonInterval } from './metrics.js';
import type { SoftmaxGraph } from './objective.js';
import { noScaling } from './standardize.js';

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
    const c = classes[at]!;
    votes[c]!++;
    nearness[c]! += similarity[at]!;
  }
  let best = 0;
  for (let c = 1; c < count; c++) {
    const more = votes[c]! - votes[best]!;
    if (more > 0 || (more === 0 && nearness[c]! > nearness[best]!)) best = c;
  }
  return best;
}

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
          const weight = Math.max(0, row[at]!);
          total += weight;
          for (const n of sets[references.classes[at]!] ?? []) scores[n]! += weight;
        }
        evaluation.add(sets[set] ?? [], total > 0 ? scores.map((score) => score / total) : scores, []);
      });
    }
  }
  const { count, perLabel, meanAveragePrecision } = evaluation.result();
  const shares = perLabel.filter(({ support }) => support > 0).map(({ support }) => support / count);
  const chance = mean(shares);
  return { chance, nearestNeighbours: meanAveragePrecision, k: K, count };
}

/** Neighbours that vote. */
const K = 10;

/** Rows that are compared with each other, at most: neighbours cost their product. */
const MOST_REFERENCES = 20_000;
const MOST_QUERIES = 2_000;

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
      allClasses[filled++] = classes[i]!;
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

/** The places of the k largest values. */
function largest(values: Float32Array, k: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (found.length === k && value <= values[found[k - 1] ?? 0]!) continue;
    let at = found.length;
    while (at > 0 && values[found[at - 1] ?? 0]! < value) at--;
    found.splice(at, 0, i);
    if (found.length > k) found.pop();
  }
  return found;
}

/**
 * The mean direction of each class: rows scaled to length 1, averaged, and scaled to length 1 again.
 * @returns [N × D], row-major; zeros for a class without rows
 */
export async function classMeans(examples: Examples, part: Part): Promise<Float32Array> {
  const { width } = examples.source;
  const sums = new Float64Array(examples.names.length * width);
  for await (const { features, classes } of generateBlocks(examples, part, noScaling(width))) {
    const rows = directions(features, width);
    classes.forEach((c, i) => {
      for (let j = 0; j < width; j++) {
        sums[c * width + j]! += rows[i * width + j]!;
      }
    });
  }
  return directions(sums, width);
}

/** Rows scaled to length 1; a row of zeros stays one. @param rows [rows × width] */
function directions(rows: Float32Array | Float64Array, width: number): Float32Array {
  const result = new Float32Array(rows.length);
  for (let at = 0; at < rows.length; at += width) {
    let square = 0;
    for (let j = 0; j < width; j++) square += (rows[at + j] ?? 0) ** 2;
    const length = Math.sqrt(square) || 1;
    for (let j = 0; j < width; j++) result[at + j] = (rows[at + j] ?? 0) / length;
  }
  return result;
}

/**
 * How like the nearest class each row is, by the means of what its trial learns from: the cosine, −1 … 1.
 * @returns [M]; NaN for rows that no trial judges
 */
export async function heldOutSimilarities(
  graph: SoftmaxGraph,
  examples: Examples,
  trials: readonly Trial[],
): Promise<Float64Array> {
  const { source, names, classes } = examples;
  const found = new Float64Array(classes.length).fill(NaN);
  for (const { train, judge } of trials) {
    const means = { W: await classMeans(examples, train), b: new Float32Array(names.length) };
    for await (const { rows, features } of generateBlocks(examples, judge, noScaling(source.width))) {
      const cosines = await graph.logits(directions(features, source.width), means);
      rows.forEach((row, i) => {
        found[row] = Math.max(...cosines.subarray(i * names.length, (i + 1) * names.length));
      });
    }
  }
  return found;
}
