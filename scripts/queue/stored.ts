import { createHash } from 'node:crypto';
import { EmbeddingStore } from '../../src/index.js';

const COLUMNS = [
  'path',
  'dataset',
  'label',
  'split',
  'sha256',
  'width',
  'height',
  'embedding',
  'error',
] as const;

/** What a store holds of each picture of a data set: how many rows, and a digest of what is in them. */
export interface Stored {
  rows: number;
  paths: number;
  digest: string;
}

/** Digests all rows of a data set, in the order of their paths. */
export async function storedIn(location: string): Promise<Stored> {
  const store = await EmbeddingStore.open(location, { create: false });
  try {
    const [record] = await store.datasets();
    if (!record) throw new Error(`Nothing is in ${location}.`);
    const rows: [string, string][] = [];
    const table = await store.tableOf(record);
    for await (const block of table.read({}, COLUMNS)) {
      for (const { embedding, ...row } of block) {
        const values = createHash('sha256').update(JSON.stringify(row));
        if (embedding)
          values.update(new Uint8Array(embedding.buffer, embedding.byteOffset, embedding.byteLength));
        rows.push([row.path, values.digest('hex')]);
      }
    }
    rows.sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      rows: rows.length,
      paths: new Set(rows.map(([path]) => path)).size,
      digest: createHash('sha256').update(JSON.stringify(rows)).digest('hex'),
    };
  } finally {
    store.close();
  }
}
