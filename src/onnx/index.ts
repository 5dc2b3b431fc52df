export { floatTensor, intTensor, model, node, tensorInfo } from './build.js';
export type { AttributeValue, GraphParts } from './build.js';
export { exposeAll } from './expose.js';
export { dimensionsOf, inputSize, outputWidth, pictureInput } from './input-output.js';
export { decodeModel, encodeModel, graphOf } from './model.js';
export { takePixels } from './pixels.js';
export type { GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto } from 'onnx-buf';
export { truncateAtPooling } from './truncate.js';
