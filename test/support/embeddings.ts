import type { EmbeddingRow } from '../../src/store/row.js';
import { EmbeddingStore } from '../../src/store/store.js';
import { sha256Of } from '../../src/util/hash.js';

/** Ids under which `writeStore` keeps its rows. */
export const MODEL_ID = 'resnet18-test@0123456789ab';
export const TRANSFORM_ID = 'v1-test';

/** A row of the store as far as a test cares; all else is made up. */
export type PlainRow = { path: string } & Partial<EmbeddingRow>;

/** Writes rows into a store as the embeddings of the data set /data, all in one table. */
export async function writeStore(location: string, rows: readonly PlainRow[], width: number): Promise<void> {
  const store = await EmbeddingStore.open(location, { create: true });
  try {
    const table = await store.table(MODEL_ID, TRANSFORM_ID, width);
    for (const row of rows) {
      await table.put({
        ...{
          dataset: '/data',
          label: null,
          labels: null,
          split: null,
          group: null,
          weight: null,
          sha256: sha256Of(row.path),
        },
        ...{
          size: 1,
          modified: 1,
          view: 'center',
          width: 8,
          height: 8,
          embedding: null,
          fingerprint: null,
          error: null,
        },
        ...{ model_id: MODEL_ID, transform_id: TRANSFORM_ID },
        ...row,
      });
    }
    await table.flush();
    await store.record({
      ...{ dataset: '/data', layout: 'test', table: table.name, width, complete: true, updated: Date.now() },
      ...{ model_id: MODEL_ID, transform_id: TRANSFORM_ID },
    });
  } finally {
    store.close();
  }
}
