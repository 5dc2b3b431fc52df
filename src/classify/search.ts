import { type BackboneOptions, loadBackbone } from '../backbone/load.js';
import { withDataset } from '../store/dataset-rows.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { checkInteger } from '../util/validate.js';
import { embedImages } from './classifier.js';

export interface SearchOptions extends BackboneOptions {
  /** Folder or address of the store. @default 'embeddings' */
  store?: string | undefined;
  /** @default the data set that was embedded last */
  dataset?: string | undefined;
  /** How many pictures to find. @default 10 */
  topK?: number | undefined;
  /** Compare every picture, however many there are. @default false */
  exact?: boolean | undefined;
  /** Rows of the store's table from which the first search builds an index. @default 50,000 */
  indexFrom?: number | undefined;
  /** Called with the number of rows before they are indexed, which takes a while. */
  onIndex?: ((rows: number) => void) | undefined;
}

/** A picture of the data set that was searched. */
export interface SimilarPicture {
  path: string;
  label: string | null;
  split: string | null;
  /** Cosine of the two embeddings, −1 … 1. Even entirely different photographs have 0.7 to 0.9. */
  similarity: number;
}

/**
 * The pictures of an embedded data set that are the most similar to a given one, which may be among them. Large tables are searched
 * through an index, which may miss some, see `VectorIndex`.
 * @param image path of a picture file
 * @returns the most similar first
 * @throws {LastlayerError} if the picture cannot be read, or the store has no embeddings of the model
 * @throws {UsageError} if topK is not a whole number of at least 1
 */
export async function searchSimilar(image: string, options: SearchOptions = {}): Promise<SimilarPicture[]> {
  const { store, dataset, topK = 10, exact = false, indexFrom, onIndex, ...backboneOptions } = options;
  checkInteger('topK', topK, { min: 1 });
  const { onNotice } = options;
  // If a model is named, it chooses among those that embedded the data set; if not, the store says which one to load.
  const named = options.model === undefined ? undefined : await loadBackbone(backboneOptions);
  return withDataset({ store, dataset, model: named?.id, onNotice }, async (table, record) => {
    const backbone =
      named ?? (await loadBackbone({ ...backboneOptions, model: record.model_id, neededBy: record.dataset }));
    if (backbone.id !== record.model_id || backbone.transformId !== record.transform_id) {
      throw new LastlayerError(
        `${record.dataset} was embedded by ${record.model_id}, but the model in use is ${backbone.id}. Pass the model ` +
          'that embedded it with --model.',
      );
    }
    const vector = await embedImages(backbone, [image]);
    if (!exact) {
      try {
        await table.vectorIndex.bringUpToDate({ from: indexFrom, onWork: onIndex });
      } catch (error) {
        // A store that is read-only can be searched all the same.
        onNotice?.(`The index cannot be written (${messageOf(error)}), so more pictures are compared one by one.`);
      }
    }
    const found = await table.nearest(vector, topK, { dataset: record.dataset }, { exact });
    return found.map(({ row: { path, label, split }, similarity }) => ({ path, label, split, similarity }));
  });
}
