import { blocksOf, type FeatureBlock, featuresInMemory, type FeatureSource } from '../head/examples.js';
import type { View } from '../image/views.js';
import { LastlayerError } from '../util/errors.js';
import type { EmbeddingTable } from './table.js';

/** The fraction of the free memory that embeddings and their whitened copy may take. */
const SHARE_OF_MEMORY = 0.5;

interface FeatureOptions {
  /** The augmented views to have features of, if the store has them. */
  views: readonly View[];
  /** Bytes that may be filled. @default what the machine, or the container, has free */
  memory?: number | undefined;
  onNotice?: ((line: string) => void) | undefined;
}

/** A file of the data set. */
interface FileRow {
  path: string;
  /** sha256 of its bytes. Views of what the file held before do not count. */
  digest: string;
}

/**
 * The embeddings of some files of a data set: in memory if they and a copy of them take no more than half of it, else read from
 * the store each time.
 * @param files row i of the features is of the i-th
 * @throws {LastlayerError} if the store holds a number that is NaN or infinite, or was changed since the files were listed
 */
export async function storedFeatures(
  table: EmbeddingTable,
  dataset: string,
  files: readonly FileRow[],
  { views, memory = process.availableMemory(), onNotice }: FeatureOptions,
): Promise<FeatureSource> {
  const { width } = table;
  const rowOf = new Map(files.map(({ path }, row) => [path, row]));
  const index = await ViewIndex.read(table, { dataset, rowOf, files, views });
  const [rows, augmented] = [files.length, index.rows.length];
  const center = () =>
    readBlocks(table, { dataset }, rows, ({ path }) => {
      const row = rowOf.get(path);
      return row === undefined ? undefined : { row, place: row };
    });
  const others = () =>
    readBlocks(table, { dataset, views }, augmented, (file) => {
      const place = index.placeOf(file);
      return place === undefined ? undefined : { row: index.rows[place]!, place };
    });
  const { counts } = index;
  const bytesPerRow = 2 * 4 * width;
  const room = Math.floor((SHARE_OF_MEMORY * memory) / bytesPerRow);
  if (rows + augmented > room) {
    const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
    onNotice?.(
      `The embeddings and a copy would take ${gigabytes(bytesPerRow * (rows + augmented))} of ${gigabytes(memory)} of memory, so ` +
        'they are read from the store again and again. That takes longer and trains the same head, but cross-validation uses ' +
        'only as many pictures as fit.',
    );
    const source = { width, inMemory: false, room, blocks: center };
    return augmented > 0 ? { ...source, views: { counts, blocks: others } } : source;
  }
  const source = featuresInMemory(await load(center(), rows, width), width);
  if (augmented === 0) return source;
  const loaded = await load(others(), augmented, width);
  return { ...source, views: { counts, blocks: () => blocksOf(loaded, width, (i) => index.rows[i]!) } };
}

interface PlacedBlock extends FeatureBlock {
  /** The place of each row among all that are read. */
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

interface ViewOfFile extends FileRow {
  view: string;
}

/** @param find which row this is; undefined if it is not wanted, for example because its picture has no label */
async function* readBlocks(
  table: EmbeddingTable,
  filter: { dataset: string; views?: readonly View[] | undefined },
  count: number,
  find: (file: ViewOfFile) => { row: number; place: number } | undefined,
): AsyncGenerator<PlacedBlock> {
  const { width } = table;
  let seen = 0;
  for await (const { paths, views, digests, embeddings } of table.readEmbeddings(filter)) {
    const found = paths.flatMap((path, i) => {
      const wanted = find({ path, view: views[i] ?? 'center', digest: digests[i] ?? '' });
      return wanted ? [{ ...wanted, i }] : [];
    });
    if (found.length === 0) continue;
    const numbers = found.map(({ i }) => i);
    const features = found.length < paths.length ? gather(embeddings, numbers, width) : embeddings;
    checkFinite(features, width, (i) => paths[numbers[i]!]!);
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

interface Files {
  dataset: string;
  files: readonly FileRow[];
  /** By path. */
  rowOf: ReadonlyMap<string, number>;
  views: readonly View[];
}

/** Which augmented views the store has: in the order of the rows and, within a row, of `views`. */
class ViewIndex {
  /** How many augmented views each row has; [M]. */
  readonly counts: Int32Array;
  /** The row of each view; [K]. */
  readonly rows: Int32Array;
  private readonly starts: Int32Array;

  private constructor(
    private readonly of: Files,
    /** A bit for each of `views` that a row has; [M]. */
    private readonly present: Uint32Array,
  ) {
    this.counts = Int32Array.from(present, bits);
    this.starts = new Int32Array(present.length + 1);
    this.counts.forEach((count, row) => {
      this.starts[row + 1] = this.starts[row]! + count;
    });
    this.rows = new Int32Array(this.starts[present.length]!);
    this.counts.forEach((_, row) => this.rows.fill(row, this.starts[row], this.starts[row + 1]));
  }

  static async read(table: EmbeddingTable, of: Files): Promise<ViewIndex> {
    const { dataset, views } = of;
    const present = new Uint32Array(of.files.length);
    if (views.length > 0) {
      for await (const block of table.read({ dataset, views, failed: false }, ['path', 'view', 'sha256'])) {
        for (const { path, view, sha256 } of block) {
          const row = rowIn(of, { path, digest: sha256! });
          if (row !== undefined) present[row]! |= 1 << numberIn(of, view);
        }
      }
    }
    return new ViewIndex(of, present);
  }

  /** A view's place, 0 … K − 1; undefined if it is not of one of the rows. */
  placeOf(file: ViewOfFile): number | undefined {
    const row = rowIn(this.of, file);
    if (row === undefined) return undefined;
    const before = (1 << numberIn(this.of, file.view)) - 1;
    return this.starts[row]! + bits(this.present[row]! & before);
  }
}

function rowIn({ rowOf, files }: Files, { path, digest }: FileRow): number | undefined {
  const row = rowOf.get(path);
  return row !== undefined && files[row]!.digest === digest ? row : undefined;
}

function numberIn({ views }: Files, view: string): number {
  return views.findIndex((name) => name === view);
}

function bits(value: number): number {
  let count = 0;
  for (let rest = value; rest !== 0; rest >>>= 1) count += rest & 1;
  return count;
}
