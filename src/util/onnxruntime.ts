import { createRequire } from 'node:module';

// The native library reads this once, on loading. Otherwise it sends Microsoft what it runs and on what machine, and keeps an id of the
// machine in the user's cache folder.
process.env.ORT_DISABLE_TELEMETRY ??= '1';

/** onnxruntime, loaded after its telemetry is turned off. */
export const ort = createRequire(import.meta.url)('onnxruntime-node') as typeof import('onnxruntime-node');
