import { createRequire } from 'node:module';

/**
 * Arrow as LanceDB loads it, as CommonJS: a table of the ES module's classes it would have to make anew, value by value, and
 * vectors within it are lost.
 */
export const arrow = createRequire(import.meta.url)('apache-arrow') as typeof import('apache-arrow');
