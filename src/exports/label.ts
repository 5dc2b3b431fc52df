/** A page to label pictures on, with a classifier that learns beside. */
export type { LabelOptions, LabelProgress } from '../label/options.js';
export type { SaveAnswer } from '../label/protocol.js';
export { startLabelling, type RunningLabelling } from '../label/server.js';
