/** The HTTP server. */
export type { LogOptions, ServerOptions } from '../server/options.js';
export { startServer, type RunningServer } from '../server/server.js';
