export { exportOnnx } from './onnx/export-onnx.js';
export { exportSafetensors } from './safetensors.js';
export type { ExportedOnnx, ExportOnnxOptions } from './onnx/export-onnx.js';
export { ONNX_INPUTS } from './onnx/graph.js';
export type { OnnxInput } from './onnx/graph.js';
export type { CheckOptions, ExportCheck } from './onnx/check.js';
export { exportEmbeddings, TABLE_FORMATS } from './tables/export-embeddings.js';
export type { ExportedEmbeddings, ExportEmbeddingsOptions, TableFormat } from './tables/export-embeddings.js';
