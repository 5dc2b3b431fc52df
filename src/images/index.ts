export { SPLITS, splitNamed } from './dataset.js';
export type { Dataset, DatasetEntry, Split } from './dataset.js';
export { decodeImage, joinPixels } from './decode.js';
export type { DecodedImage, RawPixels } from './decode.js';
export { openDataset } from './open-dataset.js';
export { IMAGENET_TRANSFORM, imagenetTransform, transformId } from './transform.js';
export type { Transform } from './transform.js';
