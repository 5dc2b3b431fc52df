/** Data sets: folders, manifests, shards, tables and URLs. */
export type { Dataset, DatasetEntry, PictureSource, SkippedFiles, Split } from '../data/dataset.js';
export { openDataset } from '../data/open.js';
export { readPicture } from '../data/read.js';
