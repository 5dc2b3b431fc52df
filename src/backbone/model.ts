import { withDefaults, checkInteger } from '../util/validate.js';
import type { ModelProto } from 'onnx-buf';
import { tensorNamed, truncateAt, truncateAtPooling } from '../formats/onnx/cut.js';
import {
  decodeModel,
  encodeModel,
  graphOf,
  inputSize,
  metadataOf,
  outputWidth,
  withMetadata,
} from '../formats/onnx/model.js';
import { IMAGENET_TRANSFORM, imagenetTransform, type Transform } from '../image/transform.js';
import { LastlayerError, messageOf, UsageError } from '../util/errors.js';
import { openRegularFile, readRegularFile, sha256OfFile } from '../util/files.js';
import { sha256Of } from '../util/hash.js';
import { detectCheckpointFormat, readCheckpoint } from './checkpoint/read.js';
import { UNTRAINED } from './load.js';
import { resNetGraph } from './resnet.js';
import { tensorsOfOnePicture } from './session.js';
import { torchvisionWeightsOf } from './torchvision.js';

/** A backbone that is ready to run: an ONNX graph with an output `embedding` [N, width] and, maybe, `logits`. */
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

interface ReadOptions {
  /** What to call the file in errors. Default: its path. */
  source?: string | undefined;
  /** Tensor or operator whose result is the embedding. Default: the pooled features. */
  features?: string | undefined;
  /** Where the network wants its pictures otherwise than its file says. */
  transform?: TransformChanges | undefined;
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
  const backbone = withTransform(cut, source, transform);
  return toModel(backbone, source, cut !== network, backbone === network ? bytes : undefined);
}

/**
 * Describes a graph with an output `embedding`.
 * @param foreign whether the graph is somebody else's
 * @param encoded the graph's bytes, where they are at hand
 */
export function toModel(graph: ModelProto, path: string, foreign: boolean, encoded?: Uint8Array): Model {
  const bytes = encoded ?? encodeModel(graph);
  const sha256 = sha256Of(bytes);
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

/**
 * Reads a whole network as a graph: an .onnx file, or a .pth or .safetensors checkpoint of a ResNet, whose graph is
 * built. The file's own bytes decide what it is, not its name; one of torchvision's checkpoints is known by its digest,
 * and brings its transform.
 * @param source what to call the file in errors
 * @returns the graph, and the file's bytes where it is an .onnx file
 * @throws {LastlayerError} where it cannot be read or is none of these
 */
async function readNetwork(
  path: string,
  source: string,
): Promise<{ network: ModelProto; bytes?: Uint8Array | undefined }> {
  const format = detectCheckpointFormat(await firstBytes(path, source));
  if (format) {
    const network = resNetGraph(await readCheckpoint(path, source), source);
    const known = torchvisionWeightsOf(await sha256OfFile(path));
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

/** A tensor inside a network that can be taken as the embedding. */
export interface FeatureCandidate {
  tensor: string;
  /** The operator that it comes from: its kind, and its name where it has one. */
  operator: string;
  name: string;
  /** Shape of it for one picture: [width], or [channels, height, width]. */
  shape: readonly number[];
  /** Width that the embedding would have. */
  width: number;
}

/**
 * What a network, which need not end in pooling, can be cut at: all its float32 tensors [N, width], and the feature maps
 * [N, channels, height, width], in the order of the data's way. The network is run once, on one picture.
 * @param path .onnx, or a ResNet's checkpoint
 * @throws {LastlayerError} where it cannot be read or run
 */
export async function featureCandidates(path: string): Promise<FeatureCandidate[]> {
  const { network } = await readNetwork(path, path);
  const layers = graphOf(network, path).node.filter(({ opType }) => opType !== 'Constant');
  const tensors = layers.flatMap(({ output }) => output).filter((name) => name !== '');
  const found = await tensorsOfOnePicture(network, path, tensors, transformOf(network, path).crop);
  return layers.flatMap(({ opType, name, output }) =>
    output.flatMap((tensor) => {
      const { type, dims } = found.get(tensor) ?? { type: 'missing', dims: [] };
      const [rows, width = 0, ...rest] = dims;
      const fits = type === 'float32' && rows === 1 && (rest.length === 0 || rest.length === 2);
      return fits && dims.length > 1 ? [{ tensor, operator: opType, name, shape: dims.slice(1), width }] : [];
    }),
  );
}

/**
 * Cuts a network at the features of a name: see {@link truncateAt}.
 * @throws {LastlayerError} where there is nothing of that name, it is no embedding, or the network does not run
 */
async function cutAtFeatures(network: ModelProto, path: string, name: string): Promise<ModelProto> {
  const tensor = tensorNamed(network, path, name);
  const found = await tensorsOfOnePicture(network, path, [tensor], transformOf(network, path).crop);
  const { type, dims } = found.get(tensor) ?? { type: 'missing', dims: [] };
  if (type !== 'float32')
    throw new LastlayerError(`${path}: ${tensor} is ${type} where float32 is expected.`);
  return truncateAt(network, path, tensor, dims.length);
}

/** Where a network wants its pictures otherwise than torchvision's V1 weights do. */
export type TransformChanges = { [K in 'resize' | 'mean' | 'std']?: Transform[K] | undefined };

/** The entry of the model's metadata that keeps them, so that they go wherever the file goes. */
const KEY = 'lastlayer.transform';

/** Pixels: what a network may ask for, which nobody else bounds. */
const LONGEST_SIDE = 8192;

/**
 * How pictures are made ready for a network: as torchvision does for its V1 weights, in the size of its input, but for
 * what the model's metadata say.
 * @throws {LastlayerError} where the network wants other pictures than square ones, or its metadata are damaged
 */
function transformOf(model: ModelProto, path: string): Transform {
  const size = inputSize(model, path);
  if (size && size.height !== size.width) {
    throw new LastlayerError(
      `${path} takes pictures of ${size.width} × ${size.height} pixels; square ones are made here. Export the network ` +
        `with dynamic height and width, or with a square input.`,
    );
  }
  if (size && !isSide(size.width)) {
    throw new LastlayerError(
      `${path} takes pictures of ${size.width} × ${size.height} pixels; sides of 1 to ${LONGEST_SIDE} can be made here.`,
    );
  }
  return withDefaults(changesOf(model, path), size ? imagenetTransform(size.width) : IMAGENET_TRANSFORM);
}

/**
 * The same model, noting how it wants its pictures; the very model where that is how it has them already.
 * @throws {UsageError} where a change makes no sense
 */
function withTransform(model: ModelProto, path: string, changes: TransformChanges): ModelProto {
  const before = transformOf(model, path);
  refuseNonsense(changes, before.crop);
  const after = withDefaults(changes, before);
  const { resize, mean, std } = after;
  if (JSON.stringify(after) === JSON.stringify(before)) return model;
  return withMetadata(model, KEY, JSON.stringify({ resize, mean, std }));
}

function changesOf(model: ModelProto, path: string): TransformChanges {
  const text = metadataOf(model, KEY);
  if (text === undefined) return {};
  try {
    const { resize, mean, std } = JSON.parse(text) as TransformChanges;
    if (resize === undefined || !mean || !std) throw new Error();
    refuseNonsense({ resize, mean, std }, 1);
    return { resize, mean, std };
  } catch {
    throw new LastlayerError(`${path} is damaged: its ${KEY} is ${text}. Get the model again.`);
  }
}

function refuseNonsense({ resize, mean, std }: TransformChanges, crop: number): void {
  if (resize !== undefined) {
    checkInteger('resize', resize, { min: crop, max: LONGEST_SIDE, advice: `The crop is ${crop} pixels.` });
  }
  refuseNoColour('mean', mean, () => true);
  refuseNoColour('std', std, (value) => value > 0);
}

function isSide(pixels: number): boolean {
  return Number.isSafeInteger(pixels) && pixels >= 1 && pixels <= LONGEST_SIDE;
}

function refuseNoColour(
  name: string,
  values: readonly number[] | undefined,
  fits: (value: number) => boolean,
): void {
  if (!values || (values.length === 3 && values.every((value) => Number.isFinite(value) && fits(value))))
    return;
  throw new UsageError(
    `${name} is ${values.join(', ')}; three numbers for red, green and blue are expected, on the scale from 0 to 1.`,
  );
}
