import type { Backbone } from '../backbone/index.js';
import { chooseDataset } from '../classifier/index.js';
import { DEFAULT_STORE, EmbeddingStore, labelsIn, type DatasetRecord } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import { Thumbnails } from './thumbnails.js';

/** A picture of the data set as clients know it: never by its path. */
export interface SimilarRow {
  /** sha256 of the picture's bytes: what its thumbnail is asked for by. */
  id: string;
  label: string | null;
  labels?: readonly string[];
  split: string | null;
  /** Cosine, −1 … 1. */
  similarity: number;
}

export interface SimilarOptions {
  store?: string;
  dataset?: string;
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
   * @returns undefined where none is named and the usual one has nothing of this trunk
   * @throws {LastlayerError} where one is named that is not there, or has no embeddings of this trunk
   */
  static async open(trunk: Backbone, options: SimilarOptions): Promise<SimilarPictures | undefined> {
    const { store: named, dataset, onNotice } = options;
    const location = named ?? DEFAULT_STORE;
    if (named === undefined && !(await EmbeddingStore.exists(location))) return undefined;
    const store = await EmbeddingStore.open(location, { create: false });
    try {
      const records = (await store.datasets()).filter(({ model_id }) => model_id === trunk.id);
      if (records.length > 0) {
        const chosen = { store: location, ...(dataset !== undefined && { dataset }), onNotice };
        return new SimilarPictures(store, chooseDataset(records, chosen, store.location));
      }
      const reason = `${store.location} has no embeddings of ${trunk.id}`;
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
