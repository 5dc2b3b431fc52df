import type { ModelProto, NodeProto, TensorProto } from 'onnx-buf';
import type { Backbone } from '../backbone/backbone.js';
import { initializer, node, tensorInfo } from '../formats/onnx/build.js';
import { keepOutputs } from '../formats/onnx/cut.js';
import { extend, type Extension, raiseOpset, renameAll } from '../formats/onnx/edit.js';
import { takeImages, takePixels } from '../formats/onnx/images.js';
import { decodeModel, graphOf, pictureInput, withMetadata } from '../formats/onnx/model.js';
import type { Head } from '../head/head.js';
import { ownVersion } from '../util/version.js';

/**
 * What an exported classifier takes:
 * - `image`: RGB bytes of pictures of any size, `image` uint8 [batch, height, width, 3]; the model does the rest;
 * - `pixels`: RGB bytes, already resized and cropped, `pixels` uint8 [batch, crop, crop, 3];
 * - `tensor`: normalised planes, `input` float32 [batch, 3, crop, crop], as torchvision's transforms make them.
 */
export const ONNX_INPUTS = ['image', 'pixels', 'tensor'] as const;
export type OnnxInput = (typeof ONNX_INPUTS)[number];

/**
 * Backbone and head as one model, for opset 18 (onnxruntime 1.14 or later). The same backbone and head give the same bytes. Its
 * metadata describe the head; its outputs are `probabilities` [batch, N], `logits` [batch, N] before the temperature,
 * `embedding` [batch, D] and, if the head has a detector, `unknown` [batch].
 * @throws {LastlayerError} if the backbone needs an opset below 13
 */
export async function classifierModel(backbone: Backbone, head: Head, input: OnnxInput): Promise<ModelProto> {
  const { source, transform } = backbone;
  const classifier = extend(backboneModel(backbone), source, headOperators(head));
  const metadata = { ...metadataOf(backbone, head, input), lastlayer: await ownVersion() };
  const described = Object.entries(metadata).reduce(
    (model, [key, value]) => withMetadata(model, key, value),
    classifier,
  );
  if (input === 'tensor') return described;
  const ofPixels = takePixels(described, source, transform);
  return input === 'pixels' ? ofPixels : takeImages(ofPixels, source, transform);
}

/** The backbone from `input` to `embedding`. All other names in it get a prefix, so that they cannot clash with what is added. */
function backboneModel({ onnx, source }: Backbone): ModelProto {
  const backbone = raiseOpset(keepOutputs(decodeModel(onnx, source), source, ['embedding']), source);
  const input = pictureInput(graphOf(backbone, source), source).name;
  return renameAll(backbone, source, (name) =>
    name === input ? 'input' : name === 'embedding' ? name : `backbone.${name}`,
  );
}

/** Metadata values are text: strings as they are, everything else as JSON. */
function metadataOf(backbone: Backbone, head: Head, input: OnnxInput): Record<string, string> {
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

/** A head as operators after `embedding` [batch, D]. */
function headOperators(head: Head): Extension {
  const { labels, width, kind, bias, temperature, unknown } = head;
  const detector = unknown ? unknownOperators(head.labels.length, width, unknown) : undefined;
  return {
    after: [
      node('Gemm', ['embedding', 'head.weight', 'head.bias'], ['logits'], { transB: 1 }, 'head'),
      node('Div', ['logits', 'head.temperature'], ['head.calibrated'], {}, 'head.calibrate'),
      kind === 'softmax'
        ? node('Softmax', ['head.calibrated'], ['probabilities'], { axis: 1 }, 'head.softmax')
        : node('Sigmoid', ['head.calibrated'], ['probabilities'], {}, 'head.sigmoid'),
      ...(detector?.nodes ?? []),
    ],
    initializers: [
      initializer('head.weight', [labels.length, width], Float32Array.from(head.weights.to1DArray())),
      initializer('head.bias', [labels.length], bias),
      initializer('head.temperature', [], Float32Array.of(temperature)),
      ...(detector?.initializers ?? []),
    ],
    outputs: [
      tensorInfo('probabilities', ['batch', labels.length]),
      tensorInfo('logits', ['batch', labels.length]),
      tensorInfo('embedding', ['batch', width]),
      ...(detector ? [tensorInfo('unknown', ['batch'], 'bool')] : []),
    ],
  };
}

/** Keeps the length of an all-zero embedding above 0, without changing any other. */
const LEAST_LENGTH = 1e-30;

/** max (embedding · meanₙ) / ‖embedding‖ < threshold, see {@link Head.areUnknown} */
function unknownOperators(
  classes: number,
  width: number,
  { means, threshold }: NonNullable<Head['unknown']>,
): { nodes: NodeProto[]; initializers: TensorProto[] } {
  return {
    nodes: [
      node('Gemm', ['embedding', 'unknown.means'], ['unknown.products'], { transB: 1 }),
      node('ReduceMax', ['unknown.products', 'unknown.axes'], ['unknown.nearest'], { keepdims: 0 }),
      node('ReduceL2', ['embedding', 'unknown.axes'], ['unknown.norm'], { keepdims: 0 }),
      node('Max', ['unknown.norm', 'unknown.leastLength'], ['unknown.length']),
      node('Div', ['unknown.nearest', 'unknown.length'], ['unknown.cosine']),
      node('Less', ['unknown.cosine', 'unknown.threshold'], ['unknown']),
    ],
    initializers: [
      initializer('unknown.means', [classes, width], Float32Array.from(means.to1DArray())),
      initializer('unknown.threshold', [], Float32Array.of(threshold)),
      initializer('unknown.leastLength', [], Float32Array.of(LEAST_LENGTH)),
      initializer('unknown.axes', [1], [1]),
    ],
  };
}
