import { createHash } from 'node:crypto';
import { storedRows } from '../../test/support/store.js';

/** What a store holds of each picture of a data set: how many rows, and a digest of what is in them. */
export interface Stored {
  rows: number;
  paths: number;
  digest: string;
}

/** Digests all rows of a store, in the order of their paths. */
export async function storedIn(location: string): Promise<Stored> {
  const rows = (await storedRows(location)).map(({ embedding, ...row }): [string, string] => {
    const values = createHash('sha256').update(JSON.stringify(row));
    if (embedding)
      values.update(new Uint8Array(embedding.buffer, embedding.byteOffset, embedding.byteLength));
    return [row.path, values.digest('hex')];
  });
  if (rows.length === 0) throw new Error(`Nothing is in ${location}.`);
  return {
    rows: rows.length,
    paths: new Set(rows.map(([path]) => path)).size,
    digest: createHash('sha256').update(JSON.stringify(rows)).digest('hex'),
  };
}
