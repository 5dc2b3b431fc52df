import type { FeatureSource } from './features.js';
import type { LabelSets } from './label-sets.js';
import { blockRows, type RowBlock } from './objective.js';
import { Moments, standardize, type Scaling } from './standardize.js';

/** Rows to learn from or to judge by. */
export interface Examples {
  source: FeatureSource;
  /** The classes' names, in the order of their numbers. */
  names: readonly string[];
  /** Each row's class, 0 … N − 1, or −1 where it has none of them; where there are `sets`, the row's set; [M]. */
  classes: Int32Array;
  /** For a multi-label head: the sets of labels that rows have, each as places in `names`. */
  sets?: LabelSets;
  /** Each row's weight, above 0; [M]; 1 each where there are none. */
  weights?: Float64Array;
}

/** Whether a row is in some part of the examples. */
export type Part = (row: number) => boolean;

/** A block of a part: standardised, with the rows' numbers. */
export interface PartBlock extends RowBlock {
  rows: Int32Array;
}

/** Moments of several parts in one pass. @param partOf the part of a row, 0 … parts − 1; −1 for none */
export async function momentsOf(
  source: FeatureSource,
  parts: number,
  partOf: (row: number) => number,
): Promise<Moments[]> {
  const moments = Array.from({ length: parts }, () => new Moments(source.width));
  for await (const { rows, features } of source.blocks()) {
    moments.forEach((each, part) => {
      const chosen = positions(rows, (row) => partOf(row) === part);
      if (chosen.length > 0) each.add(gather(features, chosen, source.width));
    });
  }
  return moments;
}

/**
 * The rows of a part, standardised, in blocks that suit the number of classes. Rows without a class are left out.
 * They are copied once where there is memory for it, and read anew each time otherwise.
 */
export async function partBlocks(
  examples: Examples,
  part: Part,
  scaling: Scaling,
): Promise<Iterable<PartBlock> | AsyncIterable<PartBlock>> {
  const generate = () => generateBlocks(examples, part, scaling);
  if (!examples.source.inMemory) return { [Symbol.asyncIterator]: generate };
  const blocks: PartBlock[] = [];
  for await (const block of generate()) blocks.push(block);
  return blocks;
}

/** As {@link partBlocks}, for going through the rows once. */
export async function* generateBlocks(
  { source, names, classes, weights }: Examples,
  part: Part,
  scaling: Scaling,
): AsyncGenerator<PartBlock> {
  const most = blockRows(names.length);
  for await (const { rows, features } of source.blocks()) {
    const chosen = positions(rows, (row) => (classes[row] ?? -1) >= 0 && part(row));
    for (let start = 0; start < chosen.length; start += most) {
      const some = chosen.subarray(start, start + most);
      const numbers = some.map((i) => rows[i] ?? 0);
      yield {
        rows: numbers,
        features: standardize(gather(features, some, source.width), scaling),
        classes: numbers.map((row) => classes[row] ?? 0),
        ...(weights && { weights: Float32Array.from(numbers, (row) => weights[row] ?? 1) }),
      };
    }
  }
}

/** Where the chosen rows stand in a block. */
function positions(rows: Int32Array, isChosen: Part): Int32Array {
  const chosen = new Int32Array(rows.length);
  let count = 0;
  for (let i = 0; i < rows.length; i++) if (isChosen(rows[i] ?? 0)) chosen[count++] = i;
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
