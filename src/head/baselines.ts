import { countRows, evaluationBlocks, type Examples } from './examples.js';
import { trainingRows, type Fold } from './evaluate.js';
import type { HeadGraph } from './objective.js';
import type { RowMask, Task } from './task.js';

/** How many neighbours vote. */
const K = 10;

/** At most this many rows are compared with each other, as the cost is their product. */
const MOST_REFERENCES = 20_000;
const MOST_QUERIES = 5_000;

/**
 * What can be had without training, on the same rows: a head that does no better is not worth its weights. If there are
 * many rows, evenly spaced ones are compared: up to 20,000 training rows per fold, and 5,000 validation rows in all.
 * @param head how good the head is on all of these rows, and how many training rows each class or label has
 * @param means of each fold's training rows, see {@link classMeansOfEach}. @default computed here
 */
export async function baselines<Result, Simple>(
  task: Task<Result, Simple>,
  graph: HeadGraph,
  examples: Examples,
  folds: readonly Fold[],
  head: { result: Result; counts: readonly number[] },
  means?: readonly Float32Array[],
): Promise<Simple> {
  const { names, labelSets } = examples;
  const collected = task.baselines(names, K);
  const meansOfFolds = means ?? (task.hasClasses ? await classMeansOfEach(examples, folds.map(trainingRows)) : []);
  for (const [n, { train, validation }] of folds.entries()) {
    const references = await sampleRows(examples, train, MOST_REFERENCES);
    const queries = await sampleRows(examples, validation, Math.ceil(MOST_QUERIES / folds.length));
    const ofClasses = meansOfFolds[n];
    const count = references.targets.length;
    for (const { features, targets } of queries.blocks) {
      const toMeans = ofClasses && (await cosines(graph, features, ofClasses, names.length));
      const toReferences = await cosines(graph, features, references.features, count);
      targets.forEach((target, i) => {
        const similarities = toReferences.subarray(i * count, (i + 1) * count);
        collected.add({
          labels: labelSets[target]!,
          neighbours: largest(similarities, K).map((at) => ({
            labels: labelSets[references.targets[at]!]!,
            similarity: similarities[at]!,
          })),
          toMeans: toMeans?.subarray(i * names.length, (i + 1) * names.length) ?? new Float32Array(),
        });
      });
    }
  }
  return collected.result(head.result, head.counts);
}

/** Rows scaled to length 1. */
interface Sample {
  /** [rows × width] */
  features: Float32Array;
  targets: Int32Array;
  blocks: { features: Float32Array; targets: Int32Array }[];
}

/** The masked rows, or evenly spaced ones if there are more than `most`. */
async function sampleRows(examples: Examples, mask: RowMask, most: number): Promise<Sample> {
  const { width } = examples.source;
  const total = countRows(examples, mask);
  const step = Math.max(1, Math.ceil(total / most));
  const rows = Math.ceil(total / step);
  const [all, allTargets] = [new Float32Array(rows * width), new Int32Array(rows)];
  const blocks: Sample['blocks'] = [];
  let [seen, filled] = [0, 0];
  for await (const { features, targets } of evaluationBlocks(examples, mask)) {
    const first = filled;
    for (let i = 0; i < targets.length; i++) {
      if (seen++ % step !== 0) continue;
      all.set(directions(features.subarray(i * width, (i + 1) * width), width), filled * width);
      allTargets[filled++] = targets[i]!;
    }
    if (filled > first) {
      const block = all.subarray(first * width, filled * width);
      blocks.push({ features: block, targets: allTargets.subarray(first, filled) });
    }
  }
  return { features: all, targets: allTargets, blocks };
}

/** Products of rows with others, all of length 1; [rows × others]. */
function cosines(graph: HeadGraph, rows: Float32Array, others: Float32Array, count: number) {
  return graph.logits(rows, { W: others, b: new Float32Array(count) });
}

/** The indices of the k largest values, largest first. */
function largest(values: Float32Array, k: number): number[] {
  const found: number[] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (found.length === k && value <= values[found[k - 1]!]!) continue;
    let at = found.length;
    while (at > 0 && values[found[at - 1]!]! < value) at--;
    found.splice(at, 0, i);
    if (found.length > k) found.pop();
  }
  return found;
}

/**
 * The mean direction of each class: rows scaled to length 1, averaged, and scaled to length 1 again.
 * @returns [N × D], row-major; zeros for a class without rows
 */
export async function classMeans(examples: Examples, mask: RowMask): Promise<Float32Array> {
  const [means] = await classMeansOfEach(examples, [mask]);
  return means!;
}

/** {@link classMeans} of several sets of rows, which have most of their rows in common. In one pass. */
export async function classMeansOfEach(examples: Examples, masks: readonly RowMask[]): Promise<Float32Array[]> {
  const { width } = examples.source;
  const sums = () => new Float64Array(examples.names.length * width);
  const total = sums();
  const missing = masks.map(sums);
  for await (const { rows, features, targets } of evaluationBlocks(examples, (row) => masks.some((has) => has(row)))) {
    const unit = directions(features, width);
    targets.forEach((c, i) => {
      for (const sum of [total, ...missing.filter((_, n) => !masks[n]!(rows[i]!))]) {
        for (let j = 0; j < width; j++) sum[c * width + j]! += unit[i * width + j]!;
      }
    });
  }
  return missing.map((sum) =>
    directions(
      total.map((value, i) => value - sum[i]!),
      width,
    ),
  );
}

/**
 * The cosine of each row to the nearest class mean, by the means of its fold's training rows.
 * @param means of each fold's training rows. @default computed here
 * @returns [M]; NaN for rows that are in no fold
 */
export async function heldOutSimilarities(
  graph: HeadGraph,
  examples: Examples,
  folds: readonly Fold[],
  means?: readonly Float32Array[],
): Promise<Float64Array> {
  const { source, targets } = examples;
  const found = new Float64Array(targets.length).fill(NaN);
  const meansOfFolds = means ?? (await classMeansOfEach(examples, folds.map(trainingRows)));
  for (const [n, { validation }] of folds.entries()) {
    for await (const { rows, features } of evaluationBlocks(examples, validation)) {
      const similarities = await similaritiesTo(meansOfFolds[n]!, graph, features, source.width);
      rows.forEach((row, i) => {
        found[row] = similarities[i]!;
      });
    }
  }
  return found;
}

/**
 * The cosine of each row to the nearest class mean.
 * @param means as {@link classMeans} gives them; [N × D]
 * @param features [rows × D]
 * @returns [rows]
 */
export async function similaritiesTo(
  means: Float32Array,
  graph: HeadGraph,
  features: Float32Array,
  width: number,
): Promise<number[]> {
  const count = means.length / width;
  const similarities = await cosines(graph, directions(features, width), means, count);
  return Array.from({ length: features.length / width }, (_, i) =>
    Math.max(...similarities.subarray(i * count, (i + 1) * count)),
  );
}

/** Rows scaled to length 1; a row of zeros stays one. @param rows [rows × width] */
function directions(rows: Float32Array | Float64Array, width: number): Float32Array {
  const result = new Float32Array(rows.length);
  for (let at = 0; at < rows.length; at += width) {
    let square = 0;
    for (let j = 0; j < width; j++) square += rows[at + j]! ** 2;
    const length = Math.sqrt(square) || 1;
    for (let j = 0; j < width; j++) result[at + j] = rows[at + j]! / length;
  }
  return result;
}
