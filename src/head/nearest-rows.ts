import { directions } from './class-means.js';
import { generateBlocks, type Examples, type Part } from './examples.js';
import type { SoftmaxGraph } from './softmax-graph.js';
import { noScaling } from './standardize.js';

/** Neighbours that vote. */
export const K = 10;

/** Rows that are compared with each other, at most: neighbours cost their product. */
export const MOST_REFERENCES = 20_000;
export const MOST_QUERIES = 2_000;

/** Rows of length 1. */
export interface Sample {
  /** [rows × width] */
  features: Float32Array;
  classes: Int32Array;
  blocks: { features: Float32Array; classes: Int32Array }[];
}

/** A part's rows scaled to length 1; of many, evenly chosen ones. */
export async function sampleOf(examples: Examples, part: Part, most: number): Promise<Sample> {
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
export function similarities(graph: SoftmaxGraph, rows: Float32Array, others: Float32Array, count: number) {
  return graph.logits(rows, { W: others, b: new Float32Array(count) });
}

/** The places of the k largest values. */
export function largest(values: Float32Array, k: number): number[] {
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
