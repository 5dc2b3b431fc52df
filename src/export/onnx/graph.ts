import type { Backbone } from '../../backbone/index.js';
import type { Head } from '../../head/index.js';
import {
  decodeModel,
  extend,
  graphOf,
  keepOutputs,
  pictureInput,
  raiseOpset,
  renameValues,
  takeImages,
  takePixels,
  withMetadata,
  type ModelProto,
} from '../../onnx/index.js';
import { ownVersion } from '../../version.js';
import { headOperators } from './head-operators.js';

/**
 * What an exported classifier takes:
 * - `image`: RGB bytes of pictures of any size, `image` uint8 [batch, height, width, 3]; all else is done inside;
 * - `pixels`: RGB bytes resized and cropped already, `pixels` uint8 [batch, crop, crop, 3];
 * - `tensor`: normalised planes, `input` float32 [batch, 3, crop, crop], as torchvision's transforms make them.
 */
export const ONNX_INPUTS = ['image', 'pixels', 'tensor'] as const;
export type OnnxInput = (typeof ONNX_INPUTS)[number];

/**
 * Trunk and head as one network, for version 18 of ONNX's operators (onnxruntime 1.14 or later). The same trunk and head
 * give the same bytes.
 * @throws {LastlayerError} where the trunk is written for a version of the operators below 13
 */
export async function classifierGraph(backbone: Backbone, head: Head, input: OnnxInput): Promise<ModelProto> {
  const { source, transform } = backbone;
  const classifier = extend(trunkOf(backbone), source, headOperators(head));
  const facts = { ...factsOf(backbone, head, input), lastlayer: await ownVersion() };
  const described = Object.entries(facts).reduce(
    (model, [key, value]) => withMetadata(model, key, value),
    classifier,
  );
  if (input === 'tensor') return described;
  const ofPixels = takePixels(described, source, transform);
  return input === 'pixels' ? ofPixels : takeImages(ofPixels, source, transform);
}

/** The trunk from `input` to `embedding`; whatever else it names is out of the way of what comes around it. */
function trunkOf({ onnx, source }: Backbone): ModelProto {
  const trunk = raiseOpset(keepOutputs(decodeModel(onnx, source), source, ['embedding']), source);
  const input = pictureInput(graphOf(trunk, source), source).name;
  return renameValues(trunk, source, (name) =>
    name === input ? 'input' : name === 'embedding' ? name : `trunk.${name}`,
  );
}

/** For the metadata, in which every value is text: strings as they are, all else as JSON. */
function factsOf(backbone: Backbone, head: Head, input: OnnxInput): Record<string, string> {
  const { kind, labels, temperature, thresholds, unknown, modelId, transformId, created } = head;
  return {
    labels: JSON.stringify(labels),
    kind,
    temperature: JSON.stringify(temperature),
    thresholds: JSON.stringify(thresholds),
    unknownThreshold: JSON.stringify(unknown?.threshold ?? null),
    input,
    transform: JSON.stringify(backbone.transform),
    modelId,
    transformId,
    created,
  };
}
