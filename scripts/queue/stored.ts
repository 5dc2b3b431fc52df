import { createHash } from 'node:crypto';
import { sha256Of } from '../../src/util/hash.js';
import { storedRows } from '../../test/support/store.js';

/** What a store holds: its number of rows and of different paths, and a digest of all rows. */
export interface Stored {
  rows: number;
  paths: number;
  digest: string;
}

/** Digests all rows of a store. */
export async function storedIn(location: string): Promise<Stored> {
  const rows = (await storedRows(location)).map(({ embedding, ...row }): [string, string] => {
    const values = createHash('sha256').update(JSON.stringify(row));
    if (embedding) values.update(new Uint8Array(embedding.buffer, embedding.byteOffset, embedding.byteLength));
    return [row.path, values.digest('hex')];
  });
  if (rows.length === 0) throw new Error(`There are no rows in ${location}.`);
  return {
    rows: rows.length,
    paths: new Set(rows.map(([path]) => path)).size,
    digest: sha256Of(JSON.stringify(rows)),
  };
}
