/**
 * What an exported classifier takes:
 * - `image`: RGB bytes of pictures of any size, `image` uint8 [batch, height, width, 3]; the model does the rest;
 * - `pixels`: RGB bytes, already resized and cropped, `pixels` uint8 [batch, crop, crop, 3];
 * - `tensor`: normalised planes, `input` float32 [batch, 3, crop, crop], as torchvision's transforms make them.
 */
export const ONNX_INPUTS = ['image', 'pixels', 'tensor'] as const;
export type OnnxInput = (typeof ONNX_INPUTS)[number];

/** The formats of exported embeddings. */
export const TABLE_FORMATS = ['npy', 'parquet', 'json'] as const;
export type TableFormat = (typeof TABLE_FORMATS)[number];
