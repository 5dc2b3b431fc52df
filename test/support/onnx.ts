import { readFileSync } from 'node:fs';
import * as ort from 'onnxruntime-node';
import { decodeModel } from '../../src/formats/onnx/model.js';

/** The texts that an .onnx file holds about itself. */
export function metadataOf(path: string): Record<string, string> {
  const { metadataProps } = decodeModel(readFileSync(path), path);
  return Object.fromEntries(metadataProps.map(({ key, value }) => [key, value]));
}

/** Runs a network of one input as any user of onnxruntime does; gives all its outputs. */
export async function runOnnx(
  path: string,
  input: ort.Tensor,
): Promise<Record<string, { dims: readonly number[]; values: number[] }>> {
  const session = await ort.InferenceSession.create(path);
  try {
    const outputs = await session.run({ [session.inputNames[0] ?? '']: input });
    return Object.fromEntries(
      Object.entries(outputs).map(([name, { dims, data }]) => [
        name,
        { dims, values: Array.from(data as Float32Array, Number) },
      ]),
    );
  } finally {
    await session.release();
  }
}
