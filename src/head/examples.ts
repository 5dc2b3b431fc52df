import type { LabelSets } from './labels.js';
import { blockRows, type RowBlock } from './objective.js';
import { Moments, type Scaling, standardize } from './standardize.js';

/** Rows to learn from or to judge by. */
export interface Examples {
  source: FeatureSource;
  /** The classes' names, in the order of their numbers. */
  names: readonly string[];
  /** Each row's class, 0 … N − 1, or −1 where it has none of them; where there are `sets`, the row's set; [M]. */
  classes: Int32Array;
  /** For a multi-label head: the sets of labels that rows have, each as places in `names`. */
  sets?: LabelSets | undefined;
  /** Each row's weight, above 0; [M]; 1 each where there are none. */
  weights?: Float64Array | undefined;
}

/** Whether a row is in some part of the examples. */
export type Part = (row: number) => boolean;

/** A block of a part: standardised, with the rows' numbers. */
export interface PartBlock extends RowBlock {
  rows: Int32Array;
}

/** All that is learnt from: the rows, and their further views. */
async function* learntBlocks(source: FeatureSource): AsyncGenerator<FeatureBlock> {
  yield* source.blocks();
  if (source.views) yield* source.views.blocks();
}

/** How many further views the rows of a part have that are learnt from. */
export function viewsLearntFrom({ source, classes }: Examples, part: Part): number {
  const counts = source.views?.counts ?? new Int32Array();
  return counts.reduce((sum, count, row) => (classes[row]! >= 0 && part(row) ? sum + count : sum), 0);
}

/** Moments of several parts, further views included, in one pass. @param partOf the part of a row, 0 … parts − 1; −1 for none */
export async function momentsOf(
  source: FeatureSource,
  parts: number,
  partOf: (row: number) => number,
): Promise<Moments[]> {
  const moments = Array.from({ length: parts }, () => new Moments(source.width));
  for await (const { rows, features } of learntBlocks(source)) {
    moments.forEach((each, part) => {
      const chosen = positions(rows, (row) => partOf(row) === part);
      if (chosen.length > 0) each.add(gather(features, chosen, source.width));
    });
  }
  return moments;
}

/**
 * The rows of a part to learn from, standardised, in blocks that suit the number of classes. Rows without a class are left
 * out. A row's further views stand beside it and share its weight, so that it counts once however many there are. Blocks
 * are copied once where there is memory for it, and read anew each time otherwise.
 */
export async function partBlocks(
  examples: Examples,
  part: Part,
  scaling: Scaling,
): Promise<Iterable<PartBlock> | AsyncIterable<PartBlock>> {
  const { source, classes, weights } = examples;
  const views = source.views?.counts;
  const shared = views && Float64Array.from(classes, (_, row) => (weights?.[row] ?? 1) / (1 + views[row]!));
  const learnt: Examples = shared ? { ...examples, weights: shared } : examples;
  const generate = () => blocksFrom(learntBlocks(source), learnt, part, scaling);
  if (!source.inMemory) return { [Symbol.asyncIterator]: generate };
  const blocks: PartBlock[] = [];
  for await (const block of generate()) blocks.push(block);
  return blocks;
}

/** The rows of a part to judge by, as {@link partBlocks} gives those to learn from: each once, and for going through once. */
export function generateBlocks(examples: Examples, part: Part, scaling: Scaling): AsyncGenerator<PartBlock> {
  return blocksFrom(examples.source.blocks(), examples, part, scaling);
}

async function* blocksFrom(
  blocks: AsyncIterable<FeatureBlock>,
  { source, names, classes, weights }: Examples,
  part: Part,
  scaling: Scaling,
): AsyncGenerator<PartBlock> {
  const most = blockRows(names.length);
  for await (const { rows, features } of blocks) {
    const chosen = positions(rows, (row) => classes[row]! >= 0 && part(row));
    for (let start = 0; start < chosen.length; start += most) {
      const some = chosen.subarray(start, start + most);
      const numbers = some.map((i) => rows[i]!);
      yield {
        rows: numbers,
        features: standardize(gather(features, some, source.width), scaling),
        classes: numbers.map((row) => classes[row]!),
        ...(weights && { weights: Float32Array.from(numbers, (row) => weights[row]!) }),
      };
    }
  }
}

/** Where the chosen rows stand in a block. */
function positions(rows: Int32Array, isChosen: Part): Int32Array {
  const chosen = new Int32Array(rows.length);
  let count = 0;
  for (let i = 0; i < rows.length; i++) if (isChosen(rows[i]!)) chosen[count++] = i;
  return chosen.subarray(0, count);
}

/** The rows at some positions; the features themselves where these are all. */
function gather(features: Float32Array, chosen: Int32Array, width: number): Float32Array {
  if (chosen.length * width === features.length) return features;
  const result = new Float32Array(chosen.length * width);
  chosen.forEach((position, i) => {
    result.set(features.subarray(position * width, (position + 1) * width), i * width);
  });
  return result;
}

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
  readonly views?: FurtherViews | undefined;
}

interface FurtherViews {
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
