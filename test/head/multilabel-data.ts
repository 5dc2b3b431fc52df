import { overlapping } from './data.js';

/** The rows of `overlapping` with none to three of three labels each. */
export function labelled(): { embeddings: Float32Array; width: number; labels: string[][] } {
  const { embeddings, width } = overlapping();
  const labels = Array.from({ length: 60 }, (_, i) => [
    ...(i % 4 === 0 ? ['wasp'] : []),
    ...(i % 3 === 0 || i % 7 === 0 ? ['ant'] : []),
    ...(i % 3 === 1 ? ['bee'] : []),
  ]);
  return { embeddings, width, labels };
}
