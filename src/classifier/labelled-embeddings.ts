import { DEFAULT_STORE } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import { withStoredEmbeddings, type Selection, type StoredEmbeddings } from './stored-embeddings.js';

/** Pictures of the data set that were not used: unreadable, without a label, or of the test split. */
export interface Unused {
  failed: number;
  unlabelled: number;
  test: number;
}

/**
 * As `withStoredEmbeddings`, where some picture is labelled.
 * @param selection.store default: `embeddings`
 * @throws {LastlayerError} where none is, or as `withStoredEmbeddings` does
 */
export async function withLabelledEmbeddings<Result>(
  selection: Omit<Selection, 'store'> & { store?: string },
  use: (stored: StoredEmbeddings) => Promise<Result>,
): Promise<Result> {
  const { store = DEFAULT_STORE } = selection;
  return withStoredEmbeddings({ ...selection, store }, async (stored) => {
    const { record, failed, unlabelled, labels } = stored;
    if (labels.length > 0) return use(stored);
    throw new LastlayerError(
      `${record.dataset} has no labelled pictures (${unlabelled} without a label, ${failed} unreadable). Put each ` +
        `picture in a folder named after its class, or give labels in a manifest.`,
    );
  });
}

export function unusedOf({ failed, unlabelled, splits }: StoredEmbeddings): Unused {
  return { failed, unlabelled, test: splits.filter((split) => split === 'test').length };
}
