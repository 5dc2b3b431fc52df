import type { ModelProto, NodeProto, TensorProto } from 'onnx-buf';
import type { Backbone } from '../backbone/backbone.js';
import type { Classifier } from '../classify/classifier.js';
import { floatTensor, intTensor, node, tensorInfo } from '../formats/onnx/build.js';
import { keepOutputs } from '../formats/onnx/cut.js';
import { extend, type Extension, raiseOpset, renameValues } from '../formats/onnx/edit.js';
import { takeImages, takePixels } from '../formats/onnx/images.js';
import { decodeModel, encodeModel, graphOf, pictureInput, withMetadata } from '../formats/onnx/model.js';
import type { Head } from '../head/head.js';
import { ownVersion } from '../util/version.js';
import { checkExport, type CheckOptions, type ExportCheck } from './onnx-check.js';
import { writeExport } from './write-export.js';

export interface ExportOnnxOptions extends CheckOptions {
  /** What the network takes. Default: `image`. */
  input?: OnnxInput | undefined;
  /** Files of pictures to compare with `predict` on. */
  pictures: readonly string[];
}

/** A network that was written. */
export interface ExportedOnnx {
  path: string;
  bytes: number;
  input: OnnxInput;
  outputs: string[];
  check: ExportCheck;
}

/**
 * Writes backbone and head as one ONNX network, which takes pictures and gives probabilities. Before it is written it is run on
 * pictures and compared with `predict`. Its metadata hold the labels and what else is known of the head; its outputs are
 * `probabilities` [batch, N], `logits` [batch, N] before the temperature, `embedding` [batch, D] and, where the head can tell,
 * `unknown` [batch].
 * @throws {LastlayerError} where the network is not as good as `predict`, see {@link checkExport}, or cannot be written
 * @throws the signal's reason, once it aborts; nothing is written then
 */
export async function exportOnnx(
  classifier: Classifier,
  path: string,
  { input = 'image', pictures, ...options }: ExportOnnxOptions,
): Promise<ExportedOnnx> {
  const { backbone, head } = classifier;
  const graph = await classifierGraph(backbone, head, input);
  const onnx = encodeModel(graph);
  const check = await checkExport(onnx, path, input, classifier, pictures, options);
  options.signal?.throwIfAborted();
  await writeExport({ path, content: onnx });
  const outputs = graphOf(graph, path).output.map(({ name }) => name);
  return { path, bytes: onnx.length, input, outputs, check };
}

/**
 * What an exported classifier takes:
 * - `image`: RGB bytes of pictures of any size, `image` uint8 [batch, height, width, 3]; all else is done inside;
 * - `pixels`: RGB bytes resized and cropped already, `pixels` uint8 [batch, crop, crop, 3];
 * - `tensor`: normalised planes, `input` float32 [batch, 3, crop, crop], as torchvision's transforms make them.
 */
export const ONNX_INPUTS = ['image', 'pixels', 'tensor'] as const;
export type OnnxInput = (typeof ONNX_INPUTS)[number];

/**
 * Backbone and head as one network, for version 18 of ONNX's operators (onnxruntime 1.14 or later). The same backbone and head
 * give the same bytes.
 * @throws {LastlayerError} where the backbone is written for a version of the operators below 13
 */
async function classifierGraph(backbone: Backbone, head: Head, input: OnnxInput): Promise<ModelProto> {
  const { source, transform } = backbone;
  const classifier = extend(backboneGraph(backbone), source, headOperators(head));
  const facts = { ...factsOf(backbone, head, input), lastlayer: await ownVersion() };
  const described = Object.entries(facts).reduce(
    (model, [key, value]) => withMetadata(model, key, value),
    classifier,
  );
  if (input === 'tensor') return described;
  const ofPixels = takePixels(described, source, transform);
  return input === 'pixels' ? ofPixels : takeImages(ofPixels, source, transform);
}

/** The backbone from `input` to `embedding`; whatever else it names is out of the way of what comes around it. */
function backboneGraph({ onnx, source }: Backbone): ModelProto {
  const backbone = raiseOpset(keepOutputs(decodeModel(onnx, source), source, ['embedding']), source);
  const input = pictureInput(graphOf(backbone, source), source).name;
  return renameValues(backbone, source, (name) =>
    name === input ? 'input' : name === 'embedding' ? name : `backbone.${name}`,
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

/** A length that is greater than 0 and changes no embedding's own. */
const LEAST_LENGTH = 1e-30;

/**
 * A head as operators after `embedding` [batch, D]. Outputs: `probabilities` [batch, N], softmax or, of a multilabel head,
 * sigmoid of logits / temperature; `logits` [batch, N], before the temperature; `embedding`; and, where the head can tell,
 * `unknown` bool [batch], whether a picture is probably none of the classes, see {@link Head.areUnknown}.
 */
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
      floatTensor('head.weight', [labels.length, width], Float32Array.from(head.weights.to1DArray())),
      floatTensor('head.bias', [labels.length], bias),
      floatTensor('head.temperature', [], Float32Array.of(temperature)),
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

/** max of embedding · means ÷ ‖embedding‖ < threshold */
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
      floatTensor('unknown.means', [classes, width], Float32Array.from(means.to1DArray())),
      floatTensor('unknown.threshold', [], Float32Array.of(threshold)),
      floatTensor('unknown.leastLength', [], Float32Array.of(LEAST_LENGTH)),
      intTensor('unknown.axes', [1], [1]),
    ],
  };
}
