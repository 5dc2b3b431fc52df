export { bytesPerElement, toFloat32 } from './dtype.js';
export type { Dtype } from './dtype.js';
export { readSafetensors } from './read.js';
export type { Safetensors, TensorData } from './read.js';
export { encodeSafetensors } from './write.js';
