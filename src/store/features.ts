import { blocksOf, type FeatureBlock, featuresInMemory, type FeatureSource } from '../head/examples.js';
import type { View } from '../image/views.js';
import { LastlayerError } from '../util/errors.js';
import type { EmbeddingTable } from './table.js';

/** Embeddings and their standardised copy may take this part of the memory at hand. */
const SHARE_OF_MEMORY = 0.5;

interface StoredFeaturesOptions {
  /** Bytes that may be filled; by default what the machine, or the container, has free. */
  memory?: number | undefined;
  /** The further views to have features of, where the store has them; default none. */
  views?: readonly View[] | undefined;
  /** sha256 of each file, by which its views are known to be of what it holds now; [M]. */
  contents?: readonly string[] | undefined;
  onNotice?: ((line: string) => void) | undefined;
}

/**
 * The embeddings of some files of a data set: in memory where they and a copy of them take no more than half of it, else
 * read from the store each time.
 * @param paths of the files; row i is the i-th
 * @throws {LastlayerError} where the store holds a number that is NaN or infinite, naming the file; or where it was changed
 *   since the paths were read
 */
export async function storedFeatures(
  table: EmbeddingTable,
  dataset: string,
  paths: readonly string[],
  { views = [], contents = [], ...options }: StoredFeaturesOptions = {},
): Promise<FeatureSource> {
  const { width } = table;
  const rowOf = new Map(paths.map((path, row) => [path, row]));
  const index = await ViewIndex.read(table, { dataset, rowOf, contents, views });
  const [rows, further] = [paths.length, index.rows.length];
  const center = () =>
    readBlocks(table, { dataset }, rows, ({ path }) => {
      const row = rowOf.get(path);
      return row === undefined ? undefined : { row, place: row };
    });
  const others = () =>
    readBlocks(table, { dataset, views }, further, ({ path, view, content }) => {
      const place = index.placeOf(path, view, content);
      return place === undefined ? undefined : { row: index.rows[place]!, place };
    });
  const memory = options.memory ?? process.availableMemory();
  const bytesPerRow = 2 * 4 * width;
  const room = Math.floor((SHARE_OF_MEMORY * memory) / bytesPerRow);
  const { counts } = index;
  if (rows + further > room) {
    const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
    options.onNotice?.(
      `The embeddings and a copy would take ${gigabytes(bytesPerRow * (rows + further))} of ${gigabytes(memory)} of memory; ` +
        `they are read from the store again and again instead. That takes longer and trains the same head, except that ` +
        `cross-validation goes by as many pictures as find room.`,
    );
    const source = { width, inMemory: false, room, blocks: center };
    return further > 0 ? { ...source, views: { counts, blocks: others } } : source;
  }
  const source = featuresInMemory(await load(center(), rows, width), width);
  if (further === 0) return source;
  const loaded = await load(others(), further, width);
  return { ...source, views: { counts, blocks: () => blocksOf(loaded, width, (i) => index.rows[i]!) } };
}

/** A block of which each row has a place among all that are read. */
interface PlacedBlock extends FeatureBlock {
  places: Int32Array;
}

async function load(blocks: AsyncIterable<PlacedBlock>, count: number, width: number): Promise<Float32Array> {
  const features = new Float32Array(count * width);
  for await (const block of blocks) {
    block.places.forEach((place, i) => {
      features.set(block.features.subarray(i * width, (i + 1) * width), place * width);
    });
  }
  return features;
}

/** @param find what a row of the store is; undefined for rows that are not wanted, as of pictures without a label */
async function* readBlocks(
  table: EmbeddingTable,
  filter: { dataset: string; views?: readonly View[] | undefined },
  count: number,
  find: (row: { path: string; view: string; content: string }) => { row: number; place: number } | undefined,
): AsyncGenerator<PlacedBlock> {
  const { width } = table;
  let seen = 0;
  for await (const { paths, views, contents, embeddings } of table.readEmbeddings(filter)) {
    const found = paths.flatMap((path, i) => {
      const is = find({ path, view: views[i] ?? '', content: contents[i] ?? '' });
      return is ? [{ ...is, i }] : [];
    });
    if (found.length === 0) continue;
    const numbers = found.map(({ i }) => i);
    const features = found.length < paths.length ? gather(embeddings, numbers, width) : embeddings;
    checkFinite(features, width, (i) => paths[numbers[i] ?? 0] ?? '');
    seen += found.length;
    yield {
      rows: Int32Array.from(found, ({ row }) => row),
      places: Int32Array.from(found, ({ place }) => place),
      features,
    };
  }
  if (seen !== count) {
    throw new LastlayerError(
      `The embeddings of ${filter.dataset} were changed while they were read: there were ${count} of labelled pictures, and ` +
        `${seen} are left. Train again once they have been embedded.`,
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
  for (let k = 0; k < features.length; k++) sum += features[k]!;
  if (Number.isFinite(sum)) return;
  const bad = features.findIndex((value) => !Number.isFinite(value));
  throw new LastlayerError(
    `The store holds NaN or infinite values for ${pathOf(Math.floor(bad / width))}. Take the picture out of the data ` +
      `set and embed that again, or embed it into a new store.`,
  );
}

interface ViewsOfRows {
  dataset: string;
  /** Each file's row. */
  rowOf: ReadonlyMap<string, number>;
  /** sha256 of each row's picture: views of what the file held before do not count; [M]. */
  contents: readonly string[];
  views: readonly View[];
}

/** Which further views the store has of some rows; they are in the order of the rows, and within a row in that of the views. */
class ViewIndex {
  /** How many further views each row has; [M]. */
  readonly counts: Int32Array;
  /** Each view's row; [K]. */
  readonly rows: Int32Array;
  private readonly starts: Int32Array;

  private constructor(
    private readonly of: ViewsOfRows,
    /** Of each row, a bit for each of `views` that it has; [M]. */
    private readonly present: Uint32Array,
  ) {
    this.counts = Int32Array.from(present, bits);
    this.starts = new Int32Array(present.length + 1);
    this.counts.forEach((count, row) => {
      this.starts[row + 1] = this.starts[row]! + count;
    });
    this.rows = new Int32Array(this.starts.at(-1) ?? 0);
    this.counts.forEach((_, row) => this.rows.fill(row, this.starts[row], this.starts[row + 1]));
  }

  static async read(table: EmbeddingTable, of: ViewsOfRows): Promise<ViewIndex> {
    const index = new ViewIndex(of, new Uint32Array(of.contents.length));
    const { dataset, views } = of;
    if (views.length === 0) return index;
    const present = new Uint32Array(of.contents.length);
    for await (const block of table.read({ dataset, views, failed: false }, ['path', 'view', 'sha256'])) {
      for (const { path, view, sha256 } of block) {
        const row = index.rowOf(path, sha256 ?? '');
        if (row !== undefined) present[row]! |= 1 << index.numberOf(view);
      }
    }
    return new ViewIndex(of, present);
  }

  /** A view's place, 0 … K − 1; undefined where it is none of the rows'. */
  placeOf(path: string, view: string, content: string): number | undefined {
    const row = this.rowOf(path, content);
    if (row === undefined) return undefined;
    const before = (1 << this.numberOf(view)) - 1;
    return this.starts[row]! + bits(this.present[row]! & before);
  }

  private rowOf(path: string, content: string): number | undefined {
    const row = this.of.rowOf.get(path);
    return row !== undefined && this.of.contents[row] === content ? row : undefined;
  }

  private numberOf(view: string): number {
    return this.of.views.findIndex((name) => name === view);
  }
}

function bits(value: number): number {
  let count = 0;
  for (let rest = value; rest !== 0; rest >>>= 1) count += rest & 1;
  return count;
}
