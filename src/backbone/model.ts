import { createHash } from 'node:crypto';
import { open, readFile } from 'node:fs/promises';
import { LastlayerError, messageOf } from '../errors.js';
import { imagenetTransform, IMAGENET_TRANSFORM, type Transform } from '../images/index.js';
import {
  decodeModel,
  encodeModel,
  inputSize,
  outputWidth,
  truncateAtPooling,
  type ModelProto,
} from '../onnx/index.js';
import { detectCheckpointFormat, readCheckpoint } from './checkpoint/index.js';
import { resNetGraph } from './resnet-graph.js';
import { UNTRAINED } from './untrained.js';

/** A trunk that is ready to run: an ONNX graph with an output `embedding` [N, width] and, maybe, `logits`. */
export interface Model {
  /** The .onnx file's content. */
  bytes: Uint8Array;
  name: string;
  /** `<name>@<first 12 digits of the sha256>`: what embeddings and heads are marked with. */
  id: string;
  sha256: string;
  /** Width of the embedding; undefined where only running the graph can tell. */
  width: number | undefined;
  /** Classes of the network's own last layer; undefined where it has none, or only running the graph can tell. */
  classes: number | undefined;
  hasLogits: boolean;
  pretrained: boolean;
  /** Whether it computes in integers. */
  quantized: boolean;
  transform: Transform;
  /** Whether the graph is our own work, so that its shape needs no trial. */
  foreign: boolean;
}

/**
 * Reads a network of any kind: a .pth or .safetensors checkpoint of a ResNet, whose graph is built here; or an .onnx
 * file, which is truncated at its pooled features. The file's own bytes decide what it is, not its name.
 * @param source what to call the file in errors
 * @throws {LastlayerError} where it cannot be read or is none of these
 */
export async function readModel(path: string, source = path): Promise<Model> {
  const format = detectCheckpointFormat(await firstBytes(path, source));
  if (format) return toModel(resNetGraph(await readCheckpoint(path, source), source), source, false);
  const bytes = await readFile(path);
  if (bytes.length === 0) {
    throw new LastlayerError(`${source} is empty. Get the model again and try once more.`);
  }
  const network = decodeModel(bytes, source);
  const trunk = truncateAtPooling(network, source, { keepLogits: true });
  return toModel(trunk, source, trunk !== network, trunk === network ? bytes : undefined);
}

/**
 * Describes a graph with an output `embedding`.
 * @param foreign whether the graph is somebody else's
 * @param encoded the graph's bytes, where they are at hand
 */
export function toModel(graph: ModelProto, path: string, foreign: boolean, encoded?: Uint8Array): Model {
  const bytes = encoded ?? encodeModel(graph);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const name = graph.metadataProps.find(({ key }) => key === 'name')?.value ?? 'network';
  return {
    bytes,
    name,
    id: `${name}@${sha256.slice(0, 12)}`,
    sha256,
    width: outputWidth(graph, 'embedding'),
    classes: outputWidth(graph, 'logits'),
    hasLogits: graph.graph?.output.some((output) => output.name === 'logits') ?? false,
    pretrained: !name.startsWith(UNTRAINED),
    quantized: graph.graph?.node.some(({ opType }) => opType === 'QuantizeLinear') ?? false,
    transform: transformOf(graph, path),
    foreign,
  };
}

function transformOf(graph: ModelProto, path: string): Transform {
  const size = inputSize(graph, path);
  if (!size) return IMAGENET_TRANSFORM;
  if (size.height !== size.width) {
    throw new LastlayerError(
      `${path} takes pictures of ${size.width} × ${size.height} pixels; square ones are made here. Export the network ` +
        `with dynamic height and width, or with a square input.`,
    );
  }
  return imagenetTransform(size.width);
}

async function firstBytes(path: string, source: string): Promise<Uint8Array> {
  try {
    const file = await open(path);
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
