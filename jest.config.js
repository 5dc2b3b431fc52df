import process from 'node:process';

// Tests load onnxruntime without src, which turns its telemetry off.
process.env.ORT_DISABLE_TELEMETRY = '1';

/** @type {import('jest').Config} */
export default {
  testEnvironment: './test/environment.ts',
  testTimeout: 120_000,
  // Much of a test is waiting for another process, so no core is left to the main one alone.
  maxWorkers: '100%',
  extensionsToTreatAsEsm: ['.ts'],
  moduleNameMapper: { '^(\\.{1,2}/.*)\\.js$': '$1' },
  transform: { '\\.ts$': './test/transformer.js' },
};
