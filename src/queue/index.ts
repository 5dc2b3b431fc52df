export { embedThroughQueue } from './embed-through-queue.js';
export type { QueueOptions } from './embed-through-queue.js';
export type { Outcomes } from './job.js';
export { work } from './worker.js';
export type { WorkerOptions } from './worker.js';
