import { createRequire } from 'node:module';

export type { Connection, IndexStatistics, Table, VectorQuery } from '@lancedb/lancedb';

// Read once, when the native library is loaded: it warns of all that it tries again, beside the error that it throws in the end.
process.env.LANCEDB_LOG ??= 'error';

/** LanceDB, loaded when that is set. */
export const { connect, Index, makeArrowTable } = createRequire(import.meta.url)(
  '@lancedb/lancedb',
) as typeof import('@lancedb/lancedb');
