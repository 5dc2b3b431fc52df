import { workerData } from 'node:worker_threads';

// In a clone, the thread's own program is TypeScript.
if (workerData.program.endsWith('.ts')) (await import('tsx/esm/api')).register();
await import(workerData.program);
