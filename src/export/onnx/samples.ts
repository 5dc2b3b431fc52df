import { Tensor } from 'onnxruntime-node';
import { decodeImage, decodeWhole, type Transform } from '../../images/index.js';
import type { OnnxInput } from './graph.js';

/** One picture as two networks take it. */
export interface Sample {
  /** For the exported network. */
  feed: Tensor;
  /** RGB bytes [crop, crop, 3], for the trunk. */
  pixels: Uint8Array;
}

/** @throws {LastlayerError} where the file is no readable picture */
export async function sampleOf(file: Uint8Array, transform: Transform, input: OnnxInput): Promise<Sample> {
  const { pixels } = await decodeImage(file, transform);
  const { crop } = transform;
  if (input === 'pixels') return { feed: new Tensor('uint8', pixels, [1, crop, crop, 3]), pixels };
  if (input === 'tensor') {
    return { feed: new Tensor('float32', normalize(pixels, transform), [1, 3, crop, crop]), pixels };
  }
  const { data, width, height } = await decodeWhole(file, transform.background);
  return { feed: new Tensor('uint8', data, [1, height, width, 3]), pixels };
}

/** The middle of a picture, resized already, so that a network that takes whole pictures has nothing to resize. */
export async function resizedSampleOf(file: Uint8Array, transform: Transform): Promise<Sample> {
  const { resize } = transform;
  const { pixels: data } = await decodeImage(file, { ...transform, crop: resize });
  const { pixels } = await decodeImage({ data, width: resize, height: resize, channels: 3 }, transform);
  return { feed: new Tensor('uint8', data, [1, resize, resize, 3]), pixels };
}

/** (value / 255 − mean) / std, in planes. @param pixels [side, side, 3] */
function normalize(pixels: Uint8Array, { mean, std }: Transform): Float32Array {
  const size = pixels.length / 3;
  const planes = new Float32Array(pixels.length);
  for (const [c, m] of mean.entries()) {
    for (let i = 0; i < size; i++) {
      planes[c * size + i] = ((pixels[3 * i + c] ?? 0) / 255 - m) / (std[c] ?? 1);
    }
  }
  return planes;
}
