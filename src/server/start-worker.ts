import { Worker } from 'node:worker_threads';
import type { TrunkOptions } from './trunk-message.js';

/**
 * Starts the thread of the trunk. In a checkout the sources are TypeScript, which the main thread is given a loader for, but
 * a worker is not; there it registers tsx first.
 */
export function startWorker(options: TrunkOptions): Worker {
  if (!import.meta.url.endsWith('.ts')) {
    return new Worker(new URL('./worker.js', import.meta.url), { workerData: options });
  }
  const [tsx, worker] = ['tsx/esm/api', './worker.ts'].map((module) => import.meta.resolve(module));
  const code =
    `import(${JSON.stringify(tsx)})` +
    `.then(({ register }) => { register(); return import(${JSON.stringify(worker)}); });`;
  return new Worker(code, { eval: true, execArgv: [], workerData: options });
}
