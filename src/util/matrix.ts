import { createRequire } from 'node:module';
import type * as matrices from 'ml-matrix';

/** Required, as `import` would first search the source of this CommonJS module for its exports, which takes longer than all else. */
export const { EigenvalueDecomposition, Matrix } = createRequire(import.meta.url)('ml-matrix') as typeof matrices;
export type Matrix = matrices.Matrix;
