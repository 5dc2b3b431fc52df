import { createTransformer } from '@swc/jest';

/** What numeric code uses in its loops. */
const GLOBALS = [
  ...['Array', 'Infinity', 'Map', 'Math', 'NaN', 'Number', 'Object', 'Set', 'String'],
  ...['Float32Array', 'Float64Array', 'Int32Array', 'Uint8Array', 'Uint32Array'],
];

/**
 * Jest runs tests in a context of node:vm, which intercepts every use of a global: a loop of Math.exp takes ten times as long there.
 * So each module gets local names for them, on its first line, which keeps the line numbers.
 */
const LOCAL = `const { ${GLOBALS.join(', ')} } = globalThis; `;

const swc = createTransformer({ jsc: { target: 'es2022', parser: { syntax: 'typescript' } } });

/** Only ES modules: what is turned into CommonJS has helpers of swc in front of it. */
function withLocalGlobals(source, { supportsStaticESM }) {
  return supportsStaticESM ? LOCAL + source : source;
}

export default {
  canInstrument: swc.canInstrument,
  process: (source, path, options) => swc.process(withLocalGlobals(source, options), path, options),
  processAsync: (source, path, options) => swc.processAsync(withLocalGlobals(source, options), path, options),
  getCacheKey: (source, path, options) => swc.getCacheKey(withLocalGlobals(source, options), path, options),
};
