import { LastlayerError, UsageError } from '../util/errors.js';
import { firstOf } from '../util/format.js';
import { checkNumber, isInRange } from '../util/validate.js';
import type { RowMask, Targets, Task } from './task.js';

/** Some rows of features, in any order. */
export interface FeatureBlock {
  /** The row numbers, 0 … M − 1. */
  rows: Int32Array;
  /** [rows × width], row-major. */
  features: Float32Array;
}

/** The features of M rows, in memory or read again each time. */
export interface FeatureSource {
  /** D */
  readonly width: number;
  /**
   * Whether there is memory for a copy. If so, whoever needs the rows many times maps them once; if not, they are read and mapped
   * block by block each time.
   */
  readonly inMemory: boolean;
  /** How many rows, and a copy of them, fit in memory. */
  readonly room: number;
  /** Yields every row once, in the same order each time. */
  blocks(): AsyncIterable<FeatureBlock>;
  /** Features of augmented views of the rows, such as their mirror images: trained on, never evaluated on. */
  readonly views?: AugmentedViews | undefined;
}

export interface AugmentedViews {
  /** How many augmented views each row has; [M]. */
  readonly counts: Int32Array;
  /** Yields every view once, in the same order each time, under its row's number. */
  blocks(): AsyncIterable<FeatureBlock>;
}

const BLOCK_ROWS = 3072;

/** Features that are in memory. @param features [M × width], row-major */
export function featuresInMemory(features: Float32Array, width: number): FeatureSource {
  return {
    width,
    inMemory: true,
    room: features.length / width,
    blocks: () => blocksOf(features, width, (i) => i),
  };
}

/** Features in memory, as blocks. @param rowOf the row number of the i-th features */
export async function* blocksOf(
  features: Float32Array,
  width: number,
  rowOf: (i: number) => number,
): AsyncGenerator<FeatureBlock> {
  for (let start = 0; start * width < features.length; start += BLOCK_ROWS) {
    const block = features.subarray(start * width, (start + BLOCK_ROWS) * width);
    const rows = Int32Array.from({ length: block.length / width }, (_, i) => rowOf(start + i));
    yield await Promise.resolve({ rows, features: block });
  }
}

/** Features in memory of the masked rows alone, augmented views included. The rows keep their numbers. */
export async function loadRows(source: FeatureSource, mask: RowMask, rows: number): Promise<FeatureSource> {
  const { width, views } = source;
  const blocks = await loadBlocks(source, mask, width, rows);
  const loaded = { width, inMemory: true, room: rows, blocks };
  if (!views) return loaded;
  const count = views.counts.reduce((sum, each, row) => (mask(row) ? sum + each : sum), 0);
  return { ...loaded, views: { counts: views.counts, blocks: await loadBlocks(views, mask, width, count) } };
}

async function loadBlocks(
  source: Pick<FeatureSource, 'blocks'>,
  mask: RowMask,
  width: number,
  count: number,
): Promise<FeatureSource['blocks']> {
  const [features, numbers] = [new Float32Array(count * width), new Int32Array(count)];
  let filled = 0;
  for await (const block of source.blocks()) {
    block.rows.forEach((row, i) => {
      if (!mask(row)) return;
      features.set(block.features.subarray(i * width, (i + 1) * width), filled * width);
      numbers[filled++] = row;
    });
  }
  return () => blocksOf(features, width, (i) => numbers[i]!);
}

/** Rows to train on or to evaluate on. */
export interface Examples extends Targets {
  task: Task;
  source: FeatureSource;
  /** Each row's weight, above 0; [M]; 1 each if absent. */
  weights?: Float64Array | undefined;
}

/** A map of features. */
export interface FeatureTransform {
  /** @param features [rows × D], row-major. @returns the same shape */
  apply(features: Float32Array): Promise<Float32Array>;
}

/** Rows of examples: features, mapped if there is a transform, with targets and weights. */
export interface ExampleBlock extends FeatureBlock {
  /** Each row's index in `labelSets`; [rows]. */
  targets: Int32Array;
  /** Each row's weight, above 0; [rows]; 1 each if absent. */
  weights?: Float32Array | undefined;
}

/** Blocks of rows, in memory or read again each time. */
export type Blocks = Iterable<ExampleBlock> | AsyncIterable<ExampleBlock>;

/** Masked rows that have a target. */
export function countRows({ targets }: Pick<Examples, 'targets'>, mask: RowMask): number {
  return targets.reduce((count, target, row) => (target >= 0 && mask(row) ? count + 1 : count), 0);
}

/** How many masked rows each class or label has; [N]. */
export function countLabels({ names, labelSets, targets }: Targets, mask: RowMask): number[] {
  const counts = names.map(() => 0);
  targets.forEach((target, row) => {
    if (target < 0 || !mask(row)) return;
    for (const n of labelSets[target]!) counts[n]!++;
  });
  return counts;
}

/** How many augmented views of the masked rows are trained on. */
export function countViews({ source, targets }: Examples, mask: RowMask): number {
  const counts = source.views?.counts ?? new Int32Array();
  return counts.reduce((sum, count, row) => (targets[row]! >= 0 && mask(row) ? sum + count : sum), 0);
}

/**
 * Block size: up to 1,024 rows, as fewer leave more of the time to starting the products of matrices, and more no longer fit in the
 * processor's cache. With many classes or heads a block is smaller, as its logits are held a few times over: 2¹⁹ of them take 2 MiB.
 */
const MOST_ROWS = 1024;
const MOST_LOGITS = 2 ** 19;

/**
 * The masked rows to train on, mapped, in blocks. Rows without a target are left out. A row's augmented views stand
 * beside it and share its weight, so that it counts once however many there are. The blocks are made once if there is
 * memory for a copy, and read again each time otherwise.
 * @param heads that are trained at once
 */
export async function trainingBlocks(
  examples: Examples,
  mask: RowMask,
  transform: FeatureTransform,
  heads = 1,
): Promise<Blocks> {
  const { source, targets, weights } = examples;
  const views = source.views?.counts;
  const shared = views && Float64Array.from(targets, (_, row) => (weights?.[row] ?? 1) / (1 + views[row]!));
  const weighted: Examples = shared ? { ...examples, weights: shared } : examples;
  const generate = () => blocksFrom(rowsAndViews(source), weighted, mask, transform, heads);
  if (!source.inMemory) return { [Symbol.asyncIterator]: generate };
  const blocks: ExampleBlock[] = [];
  for await (const block of generate()) blocks.push(block);
  return blocks;
}

/**
 * The masked rows to evaluate on, without augmented views.
 * @param transform @default features as they are
 * @param mapped what {@link trainingBlocks} made of these rows and others with the same transform: saves mapping them again
 */
export function evaluationBlocks(
  examples: Examples,
  mask: RowMask,
  transform?: FeatureTransform,
  mapped?: Blocks,
): AsyncGenerator<ExampleBlock> {
  const { source } = examples;
  if (mapped && Symbol.iterator in mapped && !source.views) return blocksFrom(mapped, examples, mask, undefined);
  return blocksFrom(source.blocks(), examples, mask, transform);
}

async function* rowsAndViews(source: FeatureSource): AsyncGenerator<FeatureBlock> {
  yield* source.blocks();
  if (source.views) yield* source.views.blocks();
}

async function* blocksFrom(
  blocks: Iterable<FeatureBlock> | AsyncIterable<FeatureBlock>,
  { source, names, targets, weights }: Examples,
  mask: RowMask,
  transform: FeatureTransform | undefined,
  heads = 1,
): AsyncGenerator<ExampleBlock> {
  const most = Math.max(16, Math.min(MOST_ROWS, Math.floor(MOST_LOGITS / (names.length * heads))));
  for await (const { rows, features } of blocks) {
    const chosen = positionsOf(rows, (row) => targets[row]! >= 0 && mask(row));
    for (let start = 0; start < chosen.length; start += most) {
      const some = chosen.subarray(start, start + most);
      const numbers = some.map((i) => rows[i]!);
      const raw = gather(features, some, source.width);
      yield {
        rows: numbers,
        features: transform ? await transform.apply(raw) : raw,
        targets: numbers.map((row) => targets[row]!),
        weights: weights && Float32Array.from(numbers, (row) => weights[row]!),
      };
    }
  }
}

/** The features of the masked rows, augmented views included, block by block: [rows × D] each, row-major. */
export async function* featuresOf(source: FeatureSource, mask: RowMask): AsyncGenerator<Float32Array> {
  for await (const { rows, features } of rowsAndViews(source)) {
    const chosen = positionsOf(rows, mask);
    if (chosen.length > 0) yield gather(features, chosen, source.width);
  }
}

/** Where the masked rows stand in a block. */
function positionsOf(rows: Int32Array, mask: RowMask): Int32Array {
  const chosen = new Int32Array(rows.length);
  let count = 0;
  for (let i = 0; i < rows.length; i++) if (mask(rows[i]!)) chosen[count++] = i;
  return chosen.subarray(0, count);
}

/** The rows at some positions; the features themselves if that is all of them. */
function gather(features: Float32Array, positions: Int32Array, width: number): Float32Array {
  if (positions.length * width === features.length) return features;
  const result = new Float32Array(positions.length * width);
  positions.forEach((position, i) => {
    result.set(features.subarray(position * width, (position + 1) * width), i * width);
  });
  return result;
}

/** How much each class counts: `none` 1 each, `balanced` all classes alike, or a weight per label (1 for the others). */
export type ClassWeights = 'none' | 'balanced' | Readonly<Record<string, number>>;

export interface WeightOptions extends Targets {
  task: Task;
  /** The rows to train on. */
  mask: RowMask;
  /** Each row's own weight, above 0; [M]. @default 1 each */
  sampleWeights?: ArrayLike<number> | undefined;
  /** @default 'none' */
  classWeights?: ClassWeights | undefined;
}

/**
 * The weight of each row: its own times that of its class. `balanced` gives class c the weight Σw / (N · Σw of class c),
 * with w = 1 for rows without a weight of their own: scikit-learn's convention, by which all classes weigh the same.
 * @returns [M]; undefined if every weight is 1
 * @throws {LastlayerError} if a row's weight is not above 0
 * @throws {UsageError} if a class weight is not above 0 or of a class that is not there, or rows have lists of labels
 */
export function rowWeights(options: WeightOptions): Float64Array | undefined {
  const { task, names, targets, mask, sampleWeights, classWeights = 'none' } = options;
  if (classWeights !== 'none' && !task.hasClasses) {
    throw new UsageError(
      'Class weights are for pictures of one class each, and these have lists of labels. Leave --class-weights out; the ' +
        "manifest's column weight says how much each picture counts.",
    );
  }
  const weights = Float64Array.from(targets, (_, i) => sampleWeights?.[i] ?? 1);
  const bad = weights.findIndex((weight) => !isInRange(weight, { above: 0 }));
  if (bad >= 0) {
    checkNumber(`The weight of row ${bad}`, weights[bad]!, {
      above: 0,
      advice: 'Leave out rows that are not to count.',
      Failure: LastlayerError,
    });
  }
  if (classWeights !== 'none') {
    const classOf = targets.map((target, row) => (mask(row) ? target : -1));
    const ofClass =
      classWeights === 'balanced' ? balanced(names.length, classOf, weights) : givenWeights(names, classWeights);
    for (let i = 0; i < weights.length; i++) weights[i]! *= ofClass[classOf[i]!] ?? 1;
  }
  return weights.every((weight) => weight === 1) ? undefined : weights;
}

function balanced(classes: number, classOf: Int32Array, weights: Float64Array): number[] {
  const sums = new Array<number>(classes).fill(0);
  classOf.forEach((c, i) => {
    if (c >= 0) sums[c]! += weights[i]!;
  });
  const total = sums.reduce((sum, value) => sum + value, 0);
  return sums.map((sum) => (sum > 0 ? total / (classes * sum) : 1));
}

function givenWeights(names: readonly string[], given: Readonly<Record<string, number>>): number[] {
  for (const [label, weight] of Object.entries(given)) {
    if (!names.includes(label)) {
      throw new UsageError(
        `There is a weight for the class ${JSON.stringify(label)}, which is not among the training examples. The classes ` +
          `are ${firstOf(names, 10)}.`,
      );
    }
    checkNumber(`The weight of the class ${JSON.stringify(label)}`, weight, { above: 0 });
  }
  // A class may be named constructor, which every object has.
  return names.map((name) => (Object.hasOwn(given, name) ? given[name]! : 1));
}
