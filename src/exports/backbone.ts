/** Backbones: get them, load them, run them, make them int8. */
export { Backbone, type FeatureMap, type Features, type RunOptions } from '../backbone/backbone.js';
export { DEVICES, type Device } from '../backbone/device.js';
export { fetchModel, type FetchOptions } from '../backbone/fetch/fetch-model.js';
export { featureCandidates, inspectBackbone, type FeatureCandidate, type Layer } from '../backbone/inspect.js';
export { loadBackbone, type BackboneOptions } from '../backbone/load.js';
export type { ModelCard } from '../backbone/model-card.js';
export type { Model, TransformChanges } from '../backbone/model.js';
export type { WrittenModel } from '../backbone/models.js';
export { BackbonePool, type BackboneRunner, type PictureEmbedder } from '../backbone/pool.js';
export {
  int8Backbone,
  quantizeBackbone,
  speedRatio,
  type QuantizedBackbone,
  type QuantizeOptions,
  type SpeedOptions,
} from '../backbone/quantize/quantize.js';
export type { SessionOptions } from '../backbone/session.js';
export { TORCHVISION_MODELS, WEIGHTS, type WeightsName } from '../backbone/torchvision.js';
export type { Fingerprint } from '../image/fingerprint.js';
export type { Enlargement, Square } from '../image/square.js';
export type { Transform } from '../image/transform.js';
export { VIEW_SETS, type View, type ViewSet } from '../image/views.js';
