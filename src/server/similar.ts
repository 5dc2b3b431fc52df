import type { Backbone } from '../backbone/backbone.js';
import { thumbnailOf } from '../image/thumbnail.js';
import { chooseDataset } from '../store/dataset-rows.js';
import { labelsIn } from '../store/row.js';
import { type DatasetRecord, DEFAULT_STORE, EmbeddingStore } from '../store/store.js';
import { LastlayerError } from '../util/errors.js';

/** A picture of the data set as clients know it: never by its path. */
export interface SimilarRow {
  /** sha256 of the picture's bytes: what its thumbnail is asked for by. */
  id: string;
  label: string | null;
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

/** Finds the pictures of an embedded data set that are the most similar to one, and shows them small. */
export class SimilarPictures {
  private readonly thumbnails = new Thumbnails(async (id) => (await this.row(id))[0]?.path);

  private constructor(
    private readonly store: EmbeddingStore,
    readonly record: DatasetRecord,
  ) {}

  /**
   * Opens the store that is named, or the usual one where it is there.
   * @returns undefined where none is named and the usual one has nothing of this backbone
   * @throws {LastlayerError} where one is named that is not there, or has no embeddings of this backbone
   */
  static async open(backbone: Backbone, options: SimilarOptions): Promise<SimilarPictures | undefined> {
    const { store: named, dataset, onNotice } = options;
    const location = named ?? DEFAULT_STORE;
    if (named === undefined && !(await EmbeddingStore.exists(location))) return undefined;
    const store = await EmbeddingStore.open(location, { create: false });
    try {
      const records = (await store.datasets()).filter(({ model_id }) => model_id === backbone.id);
      if (records.length > 0) {
        const chosen = { store: location, dataset, onNotice };
        return new SimilarPictures(store, chooseDataset(records, chosen, store.location));
      }
      const reason = `${store.location} has no embeddings of ${backbone.id}`;
      if (named !== undefined) throw new LastlayerError(`${reason}. Embed the pictures by it first.`);
      onNotice(`${reason}, so no similar pictures are shown.`);
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
   * @returns the most similar first
   */
  async find(embedding: Float32Array, k: number): Promise<SimilarRow[]> {
    const { dataset } = this.record;
    const found = await (await this.table()).nearest(embedding, k, { dataset });
    return found.map(({ row, similarity }) => ({
      id: row.sha256 ?? '',
      label: row.label,
      ...(row.labels !== null && { labels: labelsIn(row.labels) }),
      split: row.split,
      similarity,
    }));
  }

  /** @returns WebP; undefined where the data set has no such picture, or its file is gone */
  thumbnail(id: string): Promise<Buffer | undefined> {
    return this.thumbnails.get(id);
  }

  close(): void {
    this.store.close();
  }

  private async row(id: string) {
    return (await this.table()).withContent(id);
  }

  /** The table as it is now: embedding again makes new versions of it and drops the old ones. */
  private table() {
    return this.store.tableOf(this.record);
  }
}

/** The longer side, in pixels. */
const SIDE = 240;
const QUALITY = 70;

/** Thumbnails that are kept, about 8 KB each. */
const KEPT = 500;

/** Thumbnails of pictures, made when they are first asked for. */
class Thumbnails {
  private readonly made = new Map<string, Promise<Buffer | undefined>>();

  /** @param pathOf finds a picture's file by its id; undefined where there is none */
  constructor(private readonly pathOf: (id: string) => Promise<string | undefined>) {}

  /** @returns WebP; undefined where there is no such picture, or it cannot be read any more */
  get(id: string): Promise<Buffer | undefined> {
    const thumbnail = this.made.get(id) ?? this.make(id);
    // The last used is the last in order, and the first in order is the first to go.
    this.made.delete(id);
    this.made.set(id, thumbnail);
    const [oldest] = this.made.keys();
    if (this.made.size > KEPT && oldest !== undefined) this.made.delete(oldest);
    return thumbnail;
  }

  private async make(id: string): Promise<Buffer | undefined> {
    const path = await this.pathOf(id);
    if (path === undefined) return undefined;
    return thumbnailOf(path, SIDE, QUALITY).catch(() => undefined);
  }
}
