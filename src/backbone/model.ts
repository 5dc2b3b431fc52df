import { createHash } from 'node:crypto';
import type { Transform } from '../images/index.js';
import { encodeModel, metadataOf, outputWidth, truncateAtPooling, type ModelProto } from '../onnx/index.js';
import { cutAtFeatures } from './features.js';
import { readNetwork } from './network.js';
import { transformOf, withTransform, type TransformChanges } from './transform.js';
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

export interface ReadOptions {
  /** What to call the file in errors. Default: its path. */
  source?: string;
  /** Tensor or operator whose result is the embedding. Default: the pooled features. */
  features?: string;
  /** Where the network wants its pictures otherwise than its file says. */
  transform?: TransformChanges;
}

/**
 * Reads a network of any kind: a .pth or .safetensors checkpoint of a ResNet, whose graph is built here; or an .onnx
 * file. It is cut at its pooled features, or those that are named.
 * @throws {LastlayerError} where it cannot be read, is none of these, or cannot be cut
 * @throws {UsageError} where the transform makes no sense
 */
export async function readModel(path: string, options: ReadOptions = {}): Promise<Model> {
  const { source = path, features, transform = {} } = options;
  const { network, bytes } = await readNetwork(path, source);
  const cut =
    features === undefined
      ? truncateAtPooling(network, source, { keepLogits: true })
      : await cutAtFeatures(network, source, features);
  const trunk = withTransform(cut, source, transform);
  return toModel(trunk, source, cut !== network, trunk === network ? bytes : undefined);
}

/**
 * Describes a graph with an output `embedding`.
 * @param foreign whether the graph is somebody else's
 * @param encoded the graph's bytes, where they are at hand
 */
export function toModel(graph: ModelProto, path: string, foreign: boolean, encoded?: Uint8Array): Model {
  const bytes = encoded ?? encodeModel(graph);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const name = metadataOf(graph, 'name') ?? 'network';
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
