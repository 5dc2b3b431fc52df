export { startServer } from './server.js';
export type { RunningServer } from './server.js';
export { DEFAULTS } from './options.js';
export type { LogOptions, ServerOptions } from './options.js';
