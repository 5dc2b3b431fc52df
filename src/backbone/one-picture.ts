import * as ort from 'onnxruntime-node';
import { LastlayerError, messageOf } from '../errors.js';
import { encodeModel, expose, type ModelProto } from '../onnx/index.js';
import { createSession } from './session.js';

/**
 * What a network makes of one black picture at the named tensors inside it.
 * @param names results of its operators; those that an operator leaves out are left out here
 * @param crop side of the picture
 * @throws {LastlayerError} where it does not run
 */
export async function tensorsOfOnePicture(
  network: ModelProto,
  path: string,
  names: readonly string[],
  crop: number,
): Promise<Map<string, ort.Tensor>> {
  const session = await createSession(encodeModel(expose(network, path, names)), path, {});
  try {
    const picture = new ort.Tensor('float32', new Float32Array(3 * crop * crop), [1, 3, crop, crop]);
    const outputs = await session.run({ [session.inputNames[0] ?? 'input']: picture }, names);
    return new Map(Object.entries(outputs));
  } catch (error) {
    throw new LastlayerError(`${path} failed on a picture: ${messageOf(error)}.`);
  } finally {
    await session.release();
  }
}
