import { LastlayerError, messageOf } from '../errors.js';
import { decodeModel, type ModelProto } from '../onnx/index.js';
import { openRegularFile, readRegularFile } from '../regular-file.js';
import { detectCheckpointFormat, readCheckpoint } from './checkpoint/index.js';
import { resNetGraph } from './resnet-graph.js';
import { sha256Of } from './sha256.js';
import { torchvisionWeightsOf } from './torchvision.js';
import { withTransform } from './transform.js';

/**
 * Reads a whole network as a graph: an .onnx file, or a .pth or .safetensors checkpoint of a ResNet, whose graph is
 * built. The file's own bytes decide what it is, not its name; one of torchvision's checkpoints is known by its digest,
 * and brings its transform.
 * @param source what to call the file in errors
 * @returns the graph, and the file's bytes where it is an .onnx file
 * @throws {LastlayerError} where it cannot be read or is none of these
 */
export async function readNetwork(
  path: string,
  source: string,
): Promise<{ network: ModelProto; bytes?: Uint8Array }> {
  const format = detectCheckpointFormat(await firstBytes(path, source));
  if (format) {
    const network = resNetGraph(await readCheckpoint(path, source), source);
    const known = torchvisionWeightsOf(await sha256Of(path));
    return { network: known ? withTransform(network, source, { resize: known.resize }) : network };
  }
  const bytes = await readRegularFile(path).catch((error: unknown) => {
    throw new LastlayerError(`The model ${source} cannot be read: ${messageOf(error)}.`);
  });
  if (bytes.length === 0) {
    throw new LastlayerError(`${source} is empty. Get the model again and try once more.`);
  }
  return { network: decodeModel(bytes, source), bytes };
}

async function firstBytes(path: string, source: string): Promise<Uint8Array> {
  try {
    const file = await openRegularFile(path);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new LastlayerError(`The model ${source} cannot be read: ${messageOf(error)}.`);
  }
}
