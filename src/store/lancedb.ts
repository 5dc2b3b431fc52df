import { createRequire } from 'node:module';

export type { Connection, IndexStatistics, Table, VectorQuery } from '@lancedb/lancedb';

// Read once, when the native library is loaded: it warns of all that it tries again, beside the error that it throws in the end.
process.env.LANCEDB_LOG ??= 'error';

/** LanceDB, loaded when that is set. */
export const { connect, Index, makeArrowTable } = createRequire(import.meta.url)(
  '@lancedb/lancedb',
) as typeof import('@lancedb/lancedb');

/**
 * Arrow as LanceDB loads it, as CommonJS: a table of the ES module's classes it would have to make anew, value by value, and
 * vectors within it are lost.
 */
export const arrow = createRequire(import.meta.url)('apache-arrow') as typeof import('apache-arrow');
