/** A tiny linear congruential generator (Numerical Recipes' constants): numbers in [0, 1), the same everywhere. */
export function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/**
 * 60 rows of 4 features in 3 classes that overlap; the features' means and deviations differ by powers of ten.
 * The expected values of scikit-learn 1.9 in these tests are computed from the very same numbers.
 */
export function overlapping(): {
  embeddings: Float32Array;
  width: number;
  labels: string[];
  classes: Int32Array;
} {
  const random = uniform(2026);
  const [rows, width] = [60, 4];
  const embeddings = new Float32Array(rows * width);
  const classes = Int32Array.from({ length: rows }, (_, i) => i % 3);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < width; j++) {
      const shift = i % 3 === j ? 0.6 : 0;
      embeddings[i * width + j] = 10 ** j * 0.1 * (2 * random() - 1 + shift) + j;
    }
  }
  const labels = Array.from(classes, (c) => ['ant', 'bee', 'wasp'][c] ?? '');
  return { embeddings, width, labels, classes };
}

/** 40 rows of 2 features in two classes with a wide gap between them. */
export function separable(): { embeddings: Float32Array; width: number; labels: string[] } {
  const random = uniform(7);
  const embeddings = Float32Array.from({ length: 80 }, (_, i) => random() + (i % 4 < 2 ? 3 : -3));
  return {
    embeddings,
    width: 2,
    labels: Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 'left' : 'right')),
  };
}

/** Identifies the embeddings in tests where it does not matter which they are. */
export const IDS = { modelId: 'resnet18-test@0123456789ab', transformId: 'v1-test' };
