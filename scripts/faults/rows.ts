import { createHash } from 'node:crypto';
import { AUGMENTED_VIEWS, type View } from '../../src/image/views.js';
import { EmbeddingStore } from '../../src/store/store.js';

const ALL_VIEWS: readonly View[] = ['center', ...AUGMENTED_VIEWS];
const COLUMNS = ['path', 'view', 'sha256', 'error', 'embedding'] as const;

/** A digest of each row's embedding, picture and error, by path and view. */
export type StoredDigests = Map<string, string>;

/**
 * Reads a store; one that does not exist yet has no rows.
 * @throws if it cannot be opened or read, or a picture has two rows of a view
 */
export async function digestsIn(location: string): Promise<StoredDigests> {
  const digests: StoredDigests = new Map();
  if (!(await EmbeddingStore.exists(location))) return digests;
  const store = await EmbeddingStore.open(location, { create: false });
  try {
    for (const record of await store.datasets()) {
      const table = await store.tableOf(record);
      const rows = { dataset: record.dataset, views: ALL_VIEWS };
      for await (const block of table.read(rows, COLUMNS)) {
        for (const { path, view, sha256, error, embedding } of block) {
          const key = `${path} (${view})`;
          if (digests.has(key)) throw new Error(`${key} has two rows.`);
          const content = createHash('sha256').update(`${sha256} ${error}`);
          digests.set(key, content.update(embedding ?? new Float32Array()).digest('hex'));
        }
      }
    }
    return digests;
  } finally {
    store.close();
  }
}

/** @throws if a row differs from the expected one */
export function checkRows(found: StoredDigests, expected: StoredDigests): void {
  for (const [key, digest] of found) {
    if (expected.get(key) !== digest) throw new Error(`The row of ${key} differs from that of an undisturbed run.`);
  }
}

/** @throws if a row is missing or differs from the expected one */
export function checkAllRows(found: StoredDigests, expected: StoredDigests): void {
  checkRows(found, expected);
  if (found.size !== expected.size) throw new Error(`There are ${found.size} rows instead of ${expected.size}.`);
}
