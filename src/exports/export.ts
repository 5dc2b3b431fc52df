/** The classifier and the embeddings, for other programs. */
export { ONNX_INPUTS, TABLE_FORMATS, type OnnxInput, type TableFormat } from '../export/formats.js';
export { exportOnnx, type ExportCheck, type ExportedOnnx, type ExportOnnxOptions } from '../export/onnx.js';
export { exportSafetensors } from '../export/safetensors.js';
export { exportEmbeddings, type ExportedEmbeddings, type ExportEmbeddingsOptions } from '../export/tables.js';
