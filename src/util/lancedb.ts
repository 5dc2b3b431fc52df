import { createRequire } from 'node:module';

// The native library reads this once, on loading. By default it logs every retry, besides the error that it throws in the end.
process.env.LANCEDB_LOG ??= 'error';

/** LanceDB, loaded after its log level is set. */
export const { connect, Index, makeArrowTable } = createRequire(import.meta.url)(
  '@lancedb/lancedb',
) as typeof import('@lancedb/lancedb');

/**
 * The CommonJS build of Arrow, which LanceDB itself loads. It would copy a table of the ES module's classes value by value, and
 * lose the vectors in it.
 */
export const arrow = createRequire(import.meta.url)('apache-arrow') as typeof import('apache-arrow');
