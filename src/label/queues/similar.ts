import type { HeadGraph } from '../../head/objective.js';
import type { Material } from '../learn/material.js';
import type { SimilarAnswer } from '../protocol.js';

/**
 * The pictures that look most like one, by the cosine of their embeddings, as `search` finds them: every picture is compared.
 * @throws the signal's reason, once it aborts
 */
export async function similarTo(
  material: Material,
  graph: HeadGraph,
  picture: number,
  count: number,
  signal: AbortSignal,
): Promise<SimilarAnswer> {
  const { width } = material;
  const query = material.rows(Int32Array.of(picture));
  const length = Math.hypot(...query) || 1;
  const parameters = { W: query.map((value) => value / length), b: new Float32Array(1) };
  const similarity = new Float32Array(material.size).fill(-Infinity);
  for await (const { rows, features } of material.source().blocks()) {
    signal.throwIfAborted();
    const products = await graph.logits(features, parameters);
    rows.forEach((row, i) => {
      if (row === picture || !material.isUsable(row)) return;
      let square = 0;
      for (let j = 0, at = i * width; j < width; j++, at++) square += features[at]! ** 2;
      similarity[row] = Math.min(1, products[i]! / (Math.sqrt(square) || 1));
    });
  }
  const found = material
    .where((row) => similarity[row]! > -Infinity)
    .sort((a, b) => similarity[b]! - similarity[a]! || a - b)
    .subarray(0, count);
  return { pictures: [...found], similarity: Array.from(found, (row) => similarity[row]!) };
}
