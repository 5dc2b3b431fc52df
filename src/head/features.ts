/** Some rows of features, in any order. */
export interface FeatureBlock {
  /** The numbers of the rows, 0 … M − 1. */
  rows: Int32Array;
  /** [rows × width], row-major. */
  features: Float32Array;
}

/** The features of M rows, in memory or read anew each time. */
export interface FeatureSource {
  /** D */
  readonly width: number;
  /**
   * True where there is memory for a copy: whoever goes through the rows many times standardises them once. False where
   * they are to be read, and standardised, block by block each time.
   */
  readonly inMemory: boolean;
  /** How many rows, and a copy of them, would find room in memory. */
  readonly room: number;
  /** Goes through every row once, each time in the same order. */
  blocks(): AsyncIterable<FeatureBlock>;
  /** Features of further views of the rows, such as those of mirrored pictures: learnt from, and never judged by. */
  readonly views?: FurtherViews;
}

export interface FurtherViews {
  /** How many further views each row has; [M]. */
  readonly counts: Int32Array;
  /** Goes through every further view once, each time in the same order; a row's number is there once for each. */
  blocks(): AsyncIterable<FeatureBlock>;
}

const BLOCK_ROWS = 1024;

/**
 * Features that lie in memory.
 * @param features [M × width], row-major
 */
export function featuresInMemory(features: Float32Array, width: number): FeatureSource {
  return {
    width,
    inMemory: true,
    room: features.length / width,
    blocks: () => blocksOf(features, width, (i) => i),
  };
}

/**
 * Features in memory as blocks.
 * @param numberOf the row's number of the i-th features
 */
export async function* blocksOf(
  features: Float32Array,
  width: number,
  numberOf: (i: number) => number,
): AsyncGenerator<FeatureBlock> {
  for (let start = 0; start * width < features.length; start += BLOCK_ROWS) {
    const block = features.subarray(start * width, (start + BLOCK_ROWS) * width);
    const rows = Int32Array.from({ length: block.length / width }, (_, i) => numberOf(start + i));
    yield await Promise.resolve({ rows, features: block });
  }
}
