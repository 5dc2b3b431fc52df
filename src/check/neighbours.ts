import type { InferenceSession } from 'onnxruntime-node';
import { model, node, tensorInfo } from '../formats/onnx/build.js';
import { encodeModel } from '../formats/onnx/model.js';
import type { FeatureSource } from '../head/examples.js';
import type { RowMask } from '../head/task.js';
import { ort } from '../util/onnxruntime.js';

/** Rows that are compared with as many others at once: the products take 16 MiB, and as much again transposed. */
const ROWS = 2048;

/** The nearest other rows of each row, the most similar first. */
export interface Neighbours {
  /** Neighbours per row, at most. */
  k: number;
  /** Their row numbers; [M × k], row-major; −1 if there is none. */
  rows: Int32Array;
  /** Their cosines, centred, −1 … 1; [M × k], row-major. */
  similarities: Float32Array;
  /** Their cosines as the features are, x · y over their lengths; [M × k], row-major. */
  plain: Float32Array;
}

export interface NeighbourOptions {
  /** The rows that take part; others get no neighbours and are nobody's. */
  mask: RowMask;
  /** How many neighbours. */
  k: number;
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * The k nearest rows of each row by the cosine of centred features, (x − mean) · (y − mean) over their lengths. The features
 * come out of a rectifier, so the plain cosine of any two pictures is high: up to 0.985 for distinct photographs, and down to
 * 0.953 for resized copies. Works block by block, so that memory grows with M · k and never with M². Products are the same both
 * ways, so each pair of blocks is multiplied once.
 * @param count M
 * @throws the signal's reason, once it aborts
 */
export async function nearestNeighbours(
  source: FeatureSource,
  count: number,
  { mask, k, signal, onProgress }: NeighbourOptions,
): Promise<Neighbours> {
  const found = new Table(count, k);
  const mean = await meanOf(source, mask);
  const graph = await NeighbourGraph.create();
  try {
    let [compared, total] = [0, 0];
    for (let row = 0; row < count; row++) if (mask(row)) total++;
    const all = await repeatable(source, () => chunks(source, mask, mean));
    let first = 0;
    for await (const queries of all()) {
      let number = 0;
      for await (const references of all()) {
        if (number++ < first) continue;
        signal?.throwIfAborted();
        // One more than wanted, since a row is among its own neighbours.
        const [forth, back] = await graph.topK(queries.features, references.features, source.width, k + 1);
        found.merge(queries.rows, references.rows, forth);
        if (number > first + 1) found.merge(references.rows, queries.rows, back);
      }
      first++;
      compared += queries.rows.length;
      // Of the pairs, as pictures: the first block is compared with all others, the last with none.
      onProgress?.(Math.round(total * (1 - (1 - compared / total) ** 2)), total);
    }
  } finally {
    await graph.release();
  }
  await found.addPlain(source, mean);
  return found;
}

/** The best neighbours so far, each row in descending order. */
class Table implements Neighbours {
  readonly rows: Int32Array;
  readonly similarities: Float32Array;
  readonly plain: Float32Array;

  constructor(
    count: number,
    readonly k: number,
  ) {
    this.rows = new Int32Array(count * k).fill(-1);
    this.similarities = new Float32Array(count * k).fill(-Infinity);
    this.plain = new Float32Array(count * k);
  }

  merge(queries: Int32Array, references: Int32Array, { k, similarities, indices }: TopK): void {
    queries.forEach((query, i) => {
      for (let n = i * k; n < (i + 1) * k; n++) {
        const similarity = similarities[n]!;
        if (similarity <= this.similarities[(query + 1) * this.k - 1]!) break;
        const other = references[Number(indices[n])]!;
        if (other !== query) this.insert(query, other, similarity);
      }
    });
  }

  /** Adds the plain cosines: x · y = (x − m) · (y − m) + m · x + m · y − m · m. */
  async addPlain(source: FeatureSource, mean: Float64Array): Promise<void> {
    const { width } = source;
    const count = this.rows.length / this.k;
    const [lengths, centred] = [new Float64Array(count), new Float64Array(count)];
    const alongMean = new Float64Array(count);
    for await (const { rows, features } of source.blocks()) {
      rows.forEach((row, i) => {
        let [square, squareCentred, product] = [0, 0, 0];
        for (let j = 0; j < width; j++) {
          const [x, m] = [features[i * width + j]!, mean[j]!];
          square += x * x;
          squareCentred += (x - m) ** 2;
          product += x * m;
        }
        lengths[row] = Math.sqrt(square) || 1;
        centred[row] = Math.sqrt(squareCentred);
        alongMean[row] = product;
      });
    }
    const squareOfMean = mean.reduce((sum, m) => sum + m * m, 0);
    this.rows.forEach((other, at) => {
      if (other < 0) return;
      const row = Math.floor(at / this.k);
      const ofBoth = (values: Float64Array) => values[row]! * values[other]!;
      const sum = alongMean[row]! + alongMean[other]! - squareOfMean;
      this.plain[at] = (ofBoth(centred) * this.similarities[at]! + sum) / ofBoth(lengths);
    });
  }

  private insert(query: number, other: number, similarity: number): void {
    let at = (query + 1) * this.k - 1;
    for (; at > query * this.k && this.similarities[at - 1]! < similarity; at--) {
      this.similarities[at] = this.similarities[at - 1]!;
      this.rows[at] = this.rows[at - 1]!;
    }
    this.similarities[at] = similarity;
    this.rows[at] = other;
  }
}

interface Block {
  rows: Int32Array;
  features: Float32Array;
}

/** Blocks that are made once if there is memory for a copy, and each time otherwise. */
async function repeatable(
  { inMemory }: FeatureSource,
  make: () => AsyncGenerator<Block>,
): Promise<() => Iterable<Block> | AsyncIterable<Block>> {
  if (!inMemory) return make;
  const blocks: Block[] = [];
  for await (const block of make()) blocks.push(block);
  return () => blocks;
}

/** The masked rows, centred and of length 1, in large blocks. */
async function* chunks(source: FeatureSource, mask: RowMask, mean: Float64Array): AsyncGenerator<Block> {
  const { width } = source;
  let [rows, features, filled] = [new Int32Array(ROWS), new Float32Array(ROWS * width), 0];
  for await (const block of centredBlocks(source, mask, mean)) {
    for (let from = 0; from < block.rows.length;) {
      const to = Math.min(block.rows.length, from + ROWS - filled);
      rows.set(block.rows.subarray(from, to), filled);
      features.set(block.features.subarray(from * width, to * width), filled * width);
      [filled, from] = [filled + to - from, to];
      if (filled < ROWS) continue;
      yield { rows, features };
      [rows, features, filled] = [new Int32Array(ROWS), new Float32Array(ROWS * width), 0];
    }
  }
  if (filled > 0) yield { rows: rows.subarray(0, filled), features: features.subarray(0, filled * width) };
}

async function* centredBlocks(source: FeatureSource, mask: RowMask, mean: Float64Array): AsyncGenerator<Block> {
  const { width } = source;
  for await (const { rows, features } of source.blocks()) {
    const chosen = rows.filter(mask);
    if (chosen.length === 0) continue;
    const centred = new Float32Array(chosen.length * width);
    let at = 0;
    rows.forEach((row, i) => {
      if (!mask(row)) return;
      let square = 0;
      for (let j = 0; j < width; j++) square += (features[i * width + j]! - mean[j]!) ** 2;
      const length = Math.sqrt(square) || 1;
      for (let j = 0; j < width; j++) {
        centred[at + j] = (features[i * width + j]! - mean[j]!) / length;
      }
      at += width;
    });
    yield { rows: chosen, features: centred };
  }
}

async function meanOf(source: FeatureSource, mask: RowMask): Promise<Float64Array> {
  const { width } = source;
  const sum = new Float64Array(width);
  let count = 0;
  for await (const { rows, features } of source.blocks()) {
    rows.forEach((row, i) => {
      if (!mask(row)) return;
      count++;
      for (let j = 0; j < width; j++) sum[j]! += features[i * width + j]!;
    });
  }
  return sum.map((value) => value / Math.max(1, count));
}

/** For each row, the most similar of the others first. */
interface TopK {
  k: number;
  /** Scalar products; [rows × k], row-major. */
  similarities: Float32Array;
  /** Indices of the others; [rows × k], row-major. */
  indices: BigInt64Array;
}

/** The most similar rows by scalar product, as a small ONNX graph: Q Rᵀ, then the k largest of each row, and of each column. */
class NeighbourGraph {
  private constructor(private readonly session: InferenceSession) {}

  static async create(): Promise<NeighbourGraph> {
    return new NeighbourGraph(
      await ort.InferenceSession.create(
        encodeModel(
          model({
            name: 'neighbours',
            inputs: [
              tensorInfo('Q', ['queries', 'width']),
              tensorInfo('R', ['references', 'width']),
              tensorInfo('k', [1], 'int64'),
              tensorInfo('kBack', [1], 'int64'),
            ],
            initializers: [],
            nodes: [
              node('Gemm', ['Q', 'R'], ['products'], { transB: 1 }),
              node('TopK', ['products', 'k'], ['similarities', 'indices']),
              node('Transpose', ['products'], ['productsBack'], { perm: [1, 0] }),
              node('TopK', ['productsBack', 'kBack'], ['similaritiesBack', 'indicesBack']),
            ],
            outputs: [
              tensorInfo('similarities', ['queries', 'k']),
              tensorInfo('indices', ['queries', 'k'], 'int64'),
              tensorInfo('similaritiesBack', ['references', 'kBack']),
              tensorInfo('indicesBack', ['references', 'kBack'], 'int64'),
            ],
          }),
        ),
      ),
    );
  }

  /**
   * @param queries [queries × width], row-major
   * @param references [references × width], row-major
   * @param k 1 or more; all if there are fewer
   * @returns the references of each query, and the queries of each reference
   */
  async topK(
    queries: Float32Array,
    references: Float32Array,
    width: number,
    k: number,
  ): Promise<[forth: TopK, back: TopK]> {
    const [rows, columns] = [queries.length / width, references.length / width];
    const [most, mostBack] = [Math.min(k, columns), Math.min(k, rows)];
    const whole = (value: number) => new ort.Tensor('int64', BigInt64Array.of(BigInt(value)), [1]);
    const found = await this.session.run({
      Q: new ort.Tensor('float32', queries, [rows, width]),
      R: new ort.Tensor('float32', references, [columns, width]),
      k: whole(most),
      kBack: whole(mostBack),
    });
    const topOf = (name: '' | 'Back', count: number): TopK => {
      const [values, places] = [found[`similarities${name}`]?.data, found[`indices${name}`]?.data];
      if (!(values instanceof Float32Array && places instanceof BigInt64Array)) {
        throw new TypeError('The neighbour graph lacks an output.');
      }
      return { k: count, similarities: values, indices: places };
    };
    return [topOf('', most), topOf('Back', mostBack)];
  }

  /** Frees the session. Nothing can be computed any more. */
  async release(): Promise<void> {
    await this.session.release();
  }
}
