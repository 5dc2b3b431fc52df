import { generateBlocks, type Examples, type Part } from './examples.js';
import type { Trial } from './judge.js';
import type { SoftmaxGraph } from './softmax-graph.js';
import { noScaling } from './standardize.js';

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
        sums[c * width + j] = (sums[c * width + j] ?? 0) + (rows[i * width + j] ?? 0);
      }
    });
  }
  return directions(sums, width);
}

/** Rows scaled to length 1; a row of zeros stays one. @param rows [rows × width] */
export function directions(rows: Float32Array | Float64Array, width: number): Float32Array {
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
