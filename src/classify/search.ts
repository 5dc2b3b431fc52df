import { type BackboneOptions, loadBackbone } from '../backbone/load.js';
import { chooseDataset } from '../store/dataset-rows.js';
import { DEFAULT_STORE, EmbeddingStore } from '../store/store.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { checkInteger } from '../util/validate.js';
import { embedImages } from './classifier.js';

export interface SearchOptions extends BackboneOptions {
  /** Folder or address of the store. Default: `embeddings`. */
  store?: string | undefined;
  /** The data set; by default the one that was embedded last. */
  dataset?: string | undefined;
  /** How many pictures. Default: 10. */
  topK?: number | undefined;
  /** Compare every picture, however many there are. Default: false. */
  exact?: boolean | undefined;
  /** Rows of the store's table from which an index is built, once, by the first search. Default: 50,000. */
  indexFrom?: number | undefined;
  /** Told when an index is to be built or brought up to date, which takes a while. */
  onIndex?: ((rows: number) => void) | undefined;
}

/** A picture of the data set that was searched. */
export interface SimilarPicture {
  path: string;
  label: string | null;
  split: string | null;
  /** Cosine of the two embeddings, −1 … 1; those of quite different photographs are around 0.7 to 0.9 already. */
  similarity: number;
}

/**
 * The pictures of an embedded data set that are the most similar to one, which may be among them. In a large table they are
 * found through an index, which may miss one, see `VectorIndex`; small ones, and all with `exact`, are gone through.
 * @param image path of a picture file
 * @returns the most similar first
 * @throws {LastlayerError} where the picture cannot be read, or the store has no embeddings of the network
 * @throws {UsageError} where topK is no whole number ≥ 1
 */
export async function searchSimilar(image: string, options: SearchOptions = {}): Promise<SimilarPicture[]> {
  const {
    store: location = DEFAULT_STORE,
    dataset,
    topK = 10,
    exact = false,
    indexFrom,
    onIndex,
    ...backboneOptions
  } = options;
  checkInteger('topK', topK, { min: 1 });
  const store = await EmbeddingStore.open(location, { create: false });
  try {
    const { onNotice } = options;
    // A network that is named chooses among those that embedded the data set; else the store says which is to be loaded.
    const named = options.model === undefined ? undefined : await loadBackbone(backboneOptions);
    const record = chooseDataset(
      await store.datasets(),
      {
        store: location,
        dataset,
        ...(named && { model: named.id }),
        onNotice,
      },
      store.location,
    );
    const backbone = named ?? (await loadBackbone({ ...backboneOptions, modelId: record.model_id }));
    if (backbone.id !== record.model_id || backbone.transformId !== record.transform_id) {
      throw new LastlayerError(
        `${record.dataset} was embedded by ${record.model_id}, but the network in use is ${backbone.id}. Pass the network ` +
          `that embedded it with --model.`,
      );
    }
    const vector = await embedImages(backbone, [image]);
    const table = await store.tableOf(record);
    if (!exact) {
      try {
        await table.vectorIndex.bringUpToDate({
          from: indexFrom,
          onWork: onIndex,
        });
      } catch (error) {
        // Whoever may only read the store can search it all the same.
        onNotice?.(
          `The index cannot be written (${messageOf(error)}), so more pictures are compared one by one.`,
        );
      }
    }
    const found = await table.nearest(vector, topK, { dataset: record.dataset }, { exact });
    return found.map(({ row: { path, label, split }, similarity }) => ({ path, label, split, similarity }));
  } finally {
    store.close();
  }
}
