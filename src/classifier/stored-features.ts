import type { EmbeddingTable } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import { featuresInMemory, type FeatureBlock, type FeatureSource } from '../head/index.js';

/** Embeddings and their standardised copy may take this part of the memory at hand. */
const SHARE_OF_MEMORY = 0.5;

/**
 * The embeddings of some files of a data set: in memory where they and a copy of them take no more than half of it, else
 * read from the store each time.
 * @param paths of the files; row i is the i-th
 * @param options.memory bytes that may be filled; by default what the machine, or the container, has free
 * @throws {LastlayerError} where the store holds a number that is NaN or infinite, naming the file; or where it was changed
 *   since the paths were read
 */
export async function storedFeatures(
  table: EmbeddingTable,
  dataset: string,
  paths: readonly string[],
  options: { memory?: number; onNotice?: (line: string) => void } = {},
): Promise<FeatureSource> {
  const { width } = table;
  const rowOf = new Map(paths.map((path, row) => [path, row]));
  const blocks = () => readBlocks(table, dataset, rowOf);
  const memory = options.memory ?? process.availableMemory();
  const bytesPerRow = 2 * 4 * width;
  const room = Math.floor((SHARE_OF_MEMORY * memory) / bytesPerRow);
  if (paths.length > room) {
    const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
    options.onNotice?.(
      `The embeddings and a copy would take ${gigabytes(bytesPerRow * paths.length)} of ${gigabytes(memory)} of memory; ` +
        `they are read from the store again and again instead. That takes longer and trains the same head, except that ` +
        `cross-validation goes by as many pictures as find room.`,
    );
    return { width, inMemory: false, room, blocks };
  }
  const features = new Float32Array(paths.length * width);
  for await (const block of blocks()) {
    block.rows.forEach((row, i) => {
      features.set(block.features.subarray(i * width, (i + 1) * width), row * width);
    });
  }
  return featuresInMemory(features, width);
}

async function* readBlocks(
  table: EmbeddingTable,
  dataset: string,
  rowOf: ReadonlyMap<string, number>,
): AsyncGenerator<FeatureBlock> {
  const { width } = table;
  let seen = 0;
  for await (const { paths, embeddings } of table.readEmbeddings({ dataset })) {
    // Pictures without a label are not among the rows.
    const known = paths.flatMap((path, i) => (rowOf.has(path) ? [i] : []));
    if (known.length === 0) continue;
    const features = known.length < paths.length ? gather(embeddings, known, width) : embeddings;
    const rows = Int32Array.from(known, (i) => rowOf.get(paths[i] ?? '') ?? 0);
    checkFinite(features, width, (i) => paths[known[i] ?? 0] ?? '');
    seen += rows.length;
    yield { rows, features };
  }
  if (seen !== rowOf.size) {
    throw new LastlayerError(
      `The embeddings of ${dataset} were changed while they were read: ${rowOf.size} pictures had a label, and ${seen} ` +
        `are left. Train again once they have been embedded.`,
    );
  }
}

function gather(embeddings: Float32Array, rows: readonly number[], width: number): Float32Array {
  const features = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    features.set(embeddings.subarray(row * width, (row + 1) * width), i * width);
  });
  return features;
}

function checkFinite(features: Float32Array, width: number, pathOf: (i: number) => string): void {
  // A sum is finite if all its terms are: float64 holds any sum of float32 numbers.
  let sum = 0;
  for (let k = 0; k < features.length; k++) sum += features[k] ?? 0;
  if (Number.isFinite(sum)) return;
  const bad = features.findIndex((value) => !Number.isFinite(value));
  throw new LastlayerError(
    `The store holds NaN or infinite values for ${pathOf(Math.floor(bad / width))}. Take the picture out of the data ` +
      `set and embed that again, or embed it into a new store.`,
  );
}
