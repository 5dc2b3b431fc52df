import type { ModelProto } from 'onnx-buf';
import { adaptInput } from '../formats/onnx/adapt.js';
import { cutAtPooling, cutAtTensor, findTensor, isCut, measurable } from '../formats/onnx/cut.js';
import { readExternalWeights } from '../formats/onnx/external.js';
import {
  decodeGraph,
  encodeModel,
  graphOf,
  inputSize,
  metadataOf,
  outputWidth,
  withMetadata,
} from '../formats/onnx/model.js';
import { IMAGENET_TRANSFORM, imagenetTransform, type Transform } from '../image/transform.js';
import { LastlayerError, messageOf, UsageError } from '../util/errors.js';
import { readRegularFile } from '../util/files.js';
import { sha256Of } from '../util/hash.js';
import { checkInteger, withDefaults } from '../util/validate.js';
import { detectCheckpointFormat, readCheckpoint } from './checkpoint/read.js';
import { resNetGraph } from './resnet.js';
import { tensorsOfOnePicture } from './session.js';
import { torchvisionWeightsOf } from './torchvision.js';

/** Names of models whose features were never trained begin with this. */
export const UNTRAINED = 'resnet18-untrained';

/** Name of models that say none of their own. */
export const NAMELESS = 'network';

/** A model cut at its features: an ONNX graph with an output `embedding` [N, width] and possibly `logits`. */
export interface Model {
  /** The content of the .onnx file. */
  bytes: Uint8Array;
  name: string;
  /** `<name>@<first 12 digits of the sha256>`: identifies the model in embeddings and heads. */
  id: string;
  sha256: string;
  /** Width of the embedding; undefined if only running the graph can tell. */
  width: number | undefined;
  /** Classes of the model's own last layer; undefined if it has none, or only running the graph can tell. */
  classes: number | undefined;
  hasLogits: boolean;
  pretrained: boolean;
  /** Whether it computes in integers. */
  quantized: boolean;
  transform: Transform;
}

interface ReadOptions {
  /** What to call the file in errors. @default its path */
  source?: string | undefined;
  /** Tensor or operator whose result is the embedding. @default the pooled features */
  features?: string | undefined;
  /** How the model wants its pictures, where that differs from what its file says. */
  transform?: TransformChanges | undefined;
  /** Receives a line for the user where the weights had to be looked for in a checkpoint. */
  onNotice?: ((line: string) => void) | undefined;
}

/**
 * Reads a model file, .onnx or a ResNet's checkpoint (.pth, .safetensors), and cuts the model at its pooled features or at
 * the named ones.
 * @throws {LastlayerError} if it cannot be read or cut, or is something else
 * @throws {UsageError} if the transform makes no sense
 */
export async function readModel(path: string, options: ReadOptions = {}): Promise<Model> {
  const { source = path, features, transform = {} } = options;
  const { model, bytes } = await readWholeModel(path, source, options.onNotice);
  const cut = await (features === undefined ? cutAtPool(model, source) : cutAtFeatures(model, source, features));
  const final = withTransform(cut, source, transform);
  return describeModel(final, source, final === model ? bytes : undefined);
}

/** Describes a model with an output `embedding`. @param bytes the encoded model, if the caller has it */
export function describeModel(model: ModelProto, path: string, bytes = encodeModel(model)): Model {
  const { output, node } = graphOf(model, path);
  const sha256 = sha256Of(bytes);
  const name = metadataOf(model, 'name') ?? NAMELESS;
  return {
    bytes,
    name,
    id: `${name}@${sha256.slice(0, 12)}`,
    sha256,
    width: outputWidth(model, 'embedding'),
    classes: outputWidth(model, 'logits'),
    hasLogits: output.some((each) => each.name === 'logits'),
    pretrained: !name.startsWith(UNTRAINED),
    quantized: node.some(({ opType }) => opType === 'QuantizeLinear'),
    transform: transformOf(model, path),
  };
}

/**
 * Reads a model file as it is, uncut. The file's bytes decide what it is, not its name. The graph of a ResNet's checkpoint is
 * built; torchvision's checkpoints are recognised by their digest, and get their own transform.
 * @param source what to call the file in errors
 * @param onNotice receives a line for the user where the weights had to be looked for in a checkpoint
 * @returns the model, which takes pictures as {@link adaptInput} says, and the file's bytes if they are this very model
 * @throws {LastlayerError} if it cannot be read, or is something else
 */
export async function readWholeModel(
  path: string,
  source: string,
  onNotice?: (line: string) => void,
): Promise<{ model: ModelProto; bytes?: Uint8Array | undefined }> {
  const bytes = await readRegularFile(path).catch((error: unknown) => {
    throw new LastlayerError(`The model ${source} cannot be read: ${messageOf(error)}.`);
  });
  if (bytes.length === 0) throw new LastlayerError(`${source} is empty. Get the model again.`);
  if (!detectCheckpointFormat(bytes)) {
    const own = decodeGraph(bytes, source);
    const isWhole = !(await readExternalWeights(own, path, source));
    const model = adaptInput(own, source);
    return isWhole && model === own ? { model, bytes } : { model };
  }
  const known = torchvisionWeightsOf(sha256Of(bytes));
  const model = resNetGraph(await readCheckpoint(bytes, source, onNotice), source);
  return { model: known ? withTransform(model, source, { resize: known.resize }) : model };
}

/** Cuts a model at its pooled features, see {@link cutAtPooling}, which a run on a picture finds. */
async function cutAtPool(model: ModelProto, path: string): Promise<ModelProto> {
  const { crop } = transformOf(model, path);
  const measured = isCut(model, path)
    ? undefined
    : await tensorsOfOnePicture(model, path, measurable(model, path), crop);
  return cutAtPooling(model, path, { keepLogits: true, measured });
}

/**
 * Cuts a model at the features of a name, see {@link cutAtTensor}.
 * @throws {LastlayerError} if nothing has that name, it cannot be an embedding, or the model does not run
 */
async function cutAtFeatures(model: ModelProto, path: string, name: string): Promise<ModelProto> {
  const tensor = findTensor(model, path, name);
  const found = await tensorsOfOnePicture(model, path, [tensor], transformOf(model, path).crop);
  const measured = found.get(tensor) ?? { type: 'missing', dims: [] };
  if (measured.type !== 'float32' && measured.type !== 'float16') {
    throw new LastlayerError(`${path}: ${tensor} is ${measured.type} where float32 or float16 is expected.`);
  }
  return cutAtTensor(model, path, tensor, measured);
}

/** How a model wants its pictures, where that differs from torchvision's V1 weights. */
export type TransformChanges = { [K in 'resize' | 'mean' | 'std']?: Transform[K] | undefined };

/** The entry of the model's metadata that holds them, so that they stay with the file. */
const KEY = 'lastlayer.transform';

/** Pixels. A limit on what a model may ask for. */
const LONGEST_SIDE = 8192;

/**
 * How pictures are prepared for a model: as for torchvision's V1 weights, in the size of the model's input, with the changes
 * in its metadata.
 * @throws {LastlayerError} if the model does not take square pictures, or its metadata are damaged
 */
export function transformOf(model: ModelProto, path: string): Transform {
  const size = inputSize(model, path);
  if (size && size.height !== size.width) {
    throw new LastlayerError(
      `${path} takes pictures of ${size.width} × ${size.height} pixels, but only square ones are supported. Export the ` +
        `model with dynamic height and width, or with a square input.`,
    );
  }
  if (size && !isSide(size.width)) {
    throw new LastlayerError(
      `${path} takes pictures of ${size.width} × ${size.height} pixels, but only sides of 1 to ${LONGEST_SIDE} are supported.`,
    );
  }
  return withDefaults(changesOf(model, path), size ? imagenetTransform(size.width) : IMAGENET_TRANSFORM);
}

function isSide(pixels: number): boolean {
  return Number.isSafeInteger(pixels) && pixels >= 1 && pixels <= LONGEST_SIDE;
}

function changesOf(model: ModelProto, path: string): TransformChanges {
  const text = metadataOf(model, KEY);
  if (text === undefined) return {};
  try {
    const { resize, mean, std } = JSON.parse(text) as TransformChanges;
    if (resize === undefined || !mean || !std) throw new Error();
    checkChanges({ resize, mean, std }, 1);
    return { resize, mean, std };
  } catch {
    throw new LastlayerError(`${path} is damaged: its ${KEY} is ${text}. Get the model again.`);
  }
}

/**
 * Records in a model how it wants its pictures. Returns the very same model where nothing changes.
 * @throws {UsageError} if a change makes no sense
 */
function withTransform(model: ModelProto, path: string, changes: TransformChanges): ModelProto {
  const before = transformOf(model, path);
  checkChanges(changes, before.crop);
  const after = withDefaults(changes, before);
  const { resize, mean, std } = after;
  if (JSON.stringify(after) === JSON.stringify(before)) return model;
  return withMetadata(model, KEY, JSON.stringify({ resize, mean, std }));
}

function checkChanges({ resize, mean, std }: TransformChanges, crop: number): void {
  if (resize !== undefined) {
    checkInteger('resize', resize, { min: crop, max: LONGEST_SIDE, advice: `The crop is ${crop} pixels.` });
  }
  checkColour('mean', mean, -Infinity);
  checkColour('std', std, 0);
}

function checkColour(name: string, values: readonly number[] | undefined, above: number): void {
  if (!values || (values.length === 3 && values.every((value) => Number.isFinite(value) && value > above))) return;
  throw new UsageError(
    `${name} is ${values.join(', ')}; three numbers for red, green and blue are expected, on a scale from 0 to 1.`,
  );
}
