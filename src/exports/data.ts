/** Data sets: folders, manifests, shards, tables and URLs. */
export {
  SPLITS,
  type Dataset,
  type DatasetEntry,
  type PictureSource,
  type PictureState,
  type SkippedFiles,
  type Split,
} from '../data/dataset.js';
export { openDataset } from '../data/open.js';
export { readPicture } from '../data/read.js';
