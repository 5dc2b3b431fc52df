import type { Backbone } from '../backbone/backbone.js';
import type { PictureEmbedder } from '../backbone/pool.js';
import type { DatasetEntry, PictureSource } from '../data/dataset.js';
import { embedPictures } from '../embed/pipeline.js';
import { type DatasetEmbeddings, withDatasetEmbeddings } from '../store/dataset-rows.js';
import { EmbeddingStore } from '../store/store.js';
import { LastlayerError } from '../util/errors.js';
import { nameOf } from '../util/file-names.js';
import { isAddress } from './places.js';

/** Bytes of a fingerprint, see `Fingerprint`. */
export const FINGERPRINT = 257;

/** Room for pictures that are added, beyond those that there are. */
const HEADROOM = 1024;

/** What is known of a picture besides what is said of it. */
export interface PictureFacts {
  /** Absolute path or address. */
  path: string;
  /** sha256 of its bytes; empty if it cannot be read. */
  digest: string;
  /** Upright, in pixels; 0 if it cannot be read. */
  width: number;
  height: number;
  /** Why it cannot be read. */
  problem: string | null;
  fingerprint: Uint8Array | undefined;
}

/**
 * The pictures of a session, a column for each property. Pictures are only ever added. The embeddings are in memory that threads
 * share.
 */
export class LabelPictures {
  readonly paths: string[] = [];
  /** As they are shown. */
  readonly names: string[] = [];
  readonly digests: string[] = [];
  readonly widths: number[] = [];
  readonly heights: number[] = [];
  readonly problems: (string | null)[] = [];
  private readonly numbers = new Map<string, number>();
  private room: number;
  private shared: SharedArrayBuffer;
  private prints: Uint8Array;

  /**
   * @param dataset absolute path; names are relative to its folder
   * @param width of the embeddings
   */
  constructor(
    private readonly dataset: string,
    readonly width: number,
    expected: number,
  ) {
    this.room = expected + HEADROOM;
    this.shared = new SharedArrayBuffer(4 * width * this.room);
    this.prints = new Uint8Array(FINGERPRINT * this.room);
  }

  get size(): number {
    return this.paths.length;
  }

  /** [room × width], row-major; rows of zeros for pictures that cannot be read. Another one once the room is used up. */
  get embeddings(): SharedArrayBuffer {
    return this.shared;
  }

  /** [M × 257]; zeros where there is none. */
  get fingerprints(): Uint8Array {
    return this.prints.subarray(0, FINGERPRINT * this.size);
  }

  numberOf(path: string): number | undefined {
    return this.numbers.get(path);
  }

  /** @param embedding [width] */
  add({ path, digest, width, height, problem, fingerprint }: PictureFacts, embedding?: Float32Array): void {
    if (this.size === this.room) this.grow();
    const number = this.size;
    if (fingerprint) this.prints.set(fingerprint, FINGERPRINT * number);
    this.paths.push(path);
    this.names.push(nameOf(this.dataset, path));
    this.digests.push(digest);
    this.widths.push(width);
    this.heights.push(height);
    this.problems.push(problem);
    this.numbers.set(path, number);
    if (embedding) new Float32Array(this.shared).set(embedding, number * this.width);
  }

  private grow(): void {
    this.room = Math.ceil(1.25 * this.room) + HEADROOM;
    const larger = new SharedArrayBuffer(4 * this.width * this.room);
    new Float32Array(larger).set(new Float32Array(this.shared));
    this.shared = larger;
    const prints = new Uint8Array(FINGERPRINT * this.room);
    prints.set(this.prints);
    this.prints = prints;
  }
}

/** Which store to work with, and what embeds. */
export interface Embedder {
  backbone: Backbone;
  pool: PictureEmbedder;
  store: string;
}

/**
 * The pictures of a data set that was embedded, by path.
 * @returns also what the data set says of each; [M]
 * @throws {LastlayerError} if the embeddings do not fit in memory
 */
export async function readPictures(
  dataset: string,
  { backbone, store }: Pick<Embedder, 'backbone' | 'store'>,
): Promise<{
  pictures: LabelPictures;
  listed: Pick<DatasetEntry, 'label' | 'labels' | 'split' | 'group' | 'weight'>[];
  multilabel: boolean;
}> {
  const selection = { store, dataset, model: backbone.id };
  return withDatasetEmbeddings(selection, (found) => take(dataset, found), { unlabelled: true, fingerprints: true });
}

async function take(dataset: string, { rows, failed, source, multilabel }: DatasetEmbeddings) {
  if (!source.inMemory) {
    throw new LastlayerError(
      `The embeddings of the ${rows.length} pictures of ${dataset} do not fit in memory, which labelling them takes. Label a ` +
        'part of them, or use a machine with more memory.',
    );
  }
  const pictures = new LabelPictures(dataset, source.width, rows.length + failed.length);
  const unreadable = failed.map((picture) => ({
    ...picture,
    digest: '',
    width: 0,
    height: 0,
    problem: picture.error,
    fingerprint: undefined,
  }));
  const readable = rows.map((picture) => ({ ...picture, problem: null }));
  const all = [...readable, ...unreadable].sort((a, b) => (a.path < b.path ? -1 : 1));
  for (const picture of all) pictures.add(picture);
  const numbers = Int32Array.from(rows, ({ path }) => pictures.numberOf(path)!);
  const matrix = new Float32Array(pictures.embeddings);
  for await (const block of source.blocks()) {
    block.rows.forEach((row, i) => {
      matrix.set(block.features.subarray(i * source.width, (i + 1) * source.width), numbers[row]! * source.width);
    });
  }
  return {
    pictures,
    listed: all.map(({ label, labels, split, group, weight }) => ({ label, labels, split, group, weight })),
    multilabel,
  };
}

/** A picture that was embedded, and not added yet. */
export interface EmbeddedPicture {
  facts: PictureFacts;
  /** [width]; undefined if it cannot be read. */
  embedding: Float32Array | undefined;
}

/**
 * Embeds further pictures.
 * @param root the data set that the store is to list them under
 * @param onDone called as each is done
 */
export async function embedMore(
  paths: readonly string[],
  root: string,
  { backbone, pool, store }: Embedder,
  onDone: () => void = () => undefined,
): Promise<EmbeddedPicture[]> {
  if (paths.length === 0) return [];
  const opened = await EmbeddingStore.open(store, { create: true });
  try {
    const table = await opened.table(backbone.id, backbone.transformId, backbone.width);
    const entries = async function* () {
      for (const path of paths) yield await Promise.resolve({ path, source: sourceOf(path) });
    };
    const options = { backbone, pool, views: [], isAugmented: () => false, rows: 'new', onOutcome: onDone } as const;
    await embedPictures(table, { root, entries }, options);
    await table.flush();
    const known = await table.knownWithEmbeddings(paths, root, ['center']);
    return paths.map((path) => {
      const row = known.get(path)?.[0];
      if (!row) throw new LastlayerError(`The picture ${path} vanished from the store while it was added.`);
      const { sha256, width, height, error, fingerprint, embedding } = row;
      const digest = embedding === null ? '' : (sha256 ?? '');
      return {
        facts: {
          path,
          digest,
          width: width ?? 0,
          height: height ?? 0,
          problem: error,
          fingerprint: fingerprint ?? undefined,
        },
        embedding: embedding ?? undefined,
      };
    });
  } finally {
    opened.close();
  }
}

/** Where a picture's bytes are, if its path is an address. */
export function sourceOf(path: string): PictureSource | undefined {
  return isAddress(path) ? { kind: 'url', url: path } : undefined;
}
