export { fetchModel } from './fetch-model.js';
export type { FetchedModel, FetchOptions } from './fetch-model.js';
