import { basename } from 'node:path';
import type { Backbone } from '../backbone/backbone.js';
import { thumbnailOf } from '../image/thumbnail.js';
import { chooseDataset } from '../store/dataset-rows.js';
import { labelsIn } from '../store/row.js';
import { type DatasetRecord, EmbeddingStore } from '../store/store.js';
import { DEFAULT_STORE } from '../util/defaults.js';
import { LastlayerError } from '../util/errors.js';
import { nameOf } from '../util/file-names.js';

/** A picture of the data set, without what clients must not see: where the data set is. */
export interface SimilarPicture {
  /** sha256 of the picture's bytes; identifies its thumbnail. */
  id: string;
  /** In the data set's folder; of a picture from elsewhere, the name of its file alone. */
  path: string;
  label: string | null;
  /** Only in a data set with lists of labels. */
  labels?: readonly string[] | undefined;
  split: string | null;
  /** Cosine, −1 … 1. */
  similarity: number;
}

interface SimilarOptions {
  store?: string | undefined;
  dataset?: string | undefined;
  onNotice: (line: string) => void;
}

/** Finds the pictures of an embedded data set that are most similar to a given one, and makes their thumbnails. */
export class SimilarPictures {
  private readonly thumbnails = new Thumbnails(async (id) => {
    const [row] = await (await this.table()).withContent(id);
    return row?.path;
  });

  private constructor(
    private readonly store: EmbeddingStore,
    readonly record: DatasetRecord,
  ) {}

  /**
   * Opens the given store, or the default one if it exists.
   * @returns undefined if no store is given and the default one has no embeddings of this backbone
   * @throws {LastlayerError} if the given store does not exist or has no embeddings of this backbone
   */
  static async open(backbone: Backbone, options: SimilarOptions): Promise<SimilarPictures | undefined> {
    const { store: given, dataset, onNotice } = options;
    const location = given ?? DEFAULT_STORE;
    if (given === undefined && !(await EmbeddingStore.exists(location))) return undefined;
    const store = await EmbeddingStore.open(location, { create: false });
    try {
      const records = (await store.datasets()).filter(({ model_id }) => model_id === backbone.id);
      if (records.length > 0) {
        const selection = { store: location, dataset, onNotice };
        return new SimilarPictures(store, chooseDataset(records, selection, store.location));
      }
      const reason = `${store.location} has no embeddings of ${backbone.id}`;
      if (given !== undefined) throw new LastlayerError(`${reason}. Embed the pictures with it first.`);
      onNotice(`${reason}, so similar pictures are not available.`);
      store.close();
      return undefined;
    } catch (error) {
      store.close();
      throw error;
    }
  }

  /**
   * @param embedding [width]
   * @param k how many
   * @returns most similar first
   */
  async find(embedding: Float32Array, k: number): Promise<SimilarPicture[]> {
    const { dataset } = this.record;
    const found = await (await this.table()).nearest(embedding, k, { dataset });
    return found.map(({ row: { sha256, path, label, labels, split }, similarity }) => ({
      id: sha256 ?? '',
      path: publicName(dataset, path),
      label,
      labels: labels === null ? undefined : labelsIn(labels),
      split,
      similarity,
    }));
  }

  /** @returns WebP; undefined if the data set has no such picture, or its file is gone */
  thumbnail(id: string): Promise<Buffer | undefined> {
    return this.thumbnails.get(id);
  }

  close(): void {
    this.store.close();
  }

  /** Opened anew each time: embedding again writes new versions of the table and deletes the old ones. */
  private table() {
    return this.store.tableOf(this.record);
  }
}

function publicName(dataset: string, path: string): string {
  const name = nameOf(dataset, path);
  if (name !== path) return name;
  // What follows ? in an address may be a key.
  return basename(/^https?:/i.test(path) ? new URL(path).pathname : path);
}

/** The longer side, in pixels. */
const SIDE = 240;
const QUALITY = 70;

/** Thumbnails in the cache, about 8 KB each. */
const CACHED = 500;

/** A cache of thumbnails, which drops the least recently used. */
class Thumbnails {
  private readonly made = new Map<string, Promise<Buffer | undefined>>();

  /** @param pathOf the file of a picture; undefined if there is no such picture */
  constructor(private readonly pathOf: (id: string) => Promise<string | undefined>) {}

  get(id: string): Promise<Buffer | undefined> {
    const thumbnail = this.made.get(id) ?? this.make(id);
    // A map iterates in order of insertion, so the first key is the least recently used.
    this.made.delete(id);
    this.made.set(id, thumbnail);
    const [oldest] = this.made.keys();
    if (this.made.size > CACHED && oldest !== undefined) this.made.delete(oldest);
    return thumbnail;
  }

  private async make(id: string): Promise<Buffer | undefined> {
    const path = await this.pathOf(id);
    if (path === undefined) return undefined;
    return thumbnailOf(path, SIDE, QUALITY).catch(() => undefined);
  }
}
