export { existingInt8, int8Backbone } from './int8-backbone.js';
export { quantizeBackbone } from './quantize-backbone.js';
export type { QuantizedBackbone, QuantizeOptions } from './quantize-backbone.js';
export { speedRatio } from './speed.js';
export type { SpeedOptions } from './speed.js';
