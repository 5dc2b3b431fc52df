export { fetchModel, RESNET18_URL } from './fetch-model.js';
export type { FetchedModel, FetchOptions } from './fetch-model.js';
