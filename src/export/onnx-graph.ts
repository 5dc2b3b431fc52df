import { type ModelProto, TensorProto_DataType as DataType } from 'onnx-buf';
import type { Backbone } from '../backbone/backbone.js';
import { initializer, node, tensorInfo } from '../formats/onnx/build.js';
import { keepOutputs } from '../formats/onnx/cut.js';
import { extend, type Extension, raiseOpset, renameAll } from '../formats/onnx/edit.js';
import { exposeFeatureMap } from '../formats/onnx/feature-map.js';
import { takeImages, takePixels } from '../formats/onnx/images.js';
import { decodeModel, graphOf, pictureInput, withMetadata } from '../formats/onnx/model.js';
import type { Head, UnknownDetector } from '../head/head.js';
import type { OnnxInput } from './formats.js';
import { CERTAINTY, ranksOf } from '../head/unknown.js';
import { ownVersion } from '../util/version.js';

/**
 * Backbone and head as one model, for opset 18 (onnxruntime 1.14 or later). The same backbone and head give the same bytes. Its
 * metadata describe the head; its outputs are `probabilities` [batch, N], `logits` [batch, N] before the temperature,
 * `embedding` [batch, D] and, if the head can tell, `typicality` [batch] and `unknown` [batch]; the latter only if any picture is
 * ever called so.
 * @param options.explain give `shares` [batch, N, rows, columns] too, see `Explanation`. @default false
 * @throws {LastlayerError} if the backbone needs an opset below 13, or has no feature map to explain by
 */
export async function classifierModel(
  backbone: Backbone,
  head: Head,
  input: OnnxInput,
  { explain = false }: { explain?: boolean | undefined } = {},
): Promise<ModelProto> {
  const { source, transform } = backbone;
  const classifier = extend(backboneModel(backbone, explain), source, headOperators(head, explain));
  const metadata = { ...metadataOf(backbone, head, input), lastlayer: await ownVersion() };
  const described = Object.entries(metadata).reduce(
    (model, [key, value]) => withMetadata(model, key, value),
    classifier,
  );
  if (input === 'tensor') return described;
  const ofPixels = takePixels(described, source, transform);
  return input === 'pixels' ? ofPixels : takeImages(ofPixels, source, transform);
}

/**
 * The backbone from `input` to `embedding` and, if it is wanted, `features`, the feature map. All other names in it get a prefix, so that
 * they cannot clash with what is added.
 */
function backboneModel({ onnx, source }: Backbone, withMap: boolean): ModelProto {
  const backbone = raiseOpset(keepOutputs(decodeModel(onnx, source), source, ['embedding']), source);
  const { model, output } = withMap ? exposeFeatureMap(backbone, source) : { model: backbone, output: undefined };
  const input = pictureInput(graphOf(backbone, source), source).name;
  const names = new Map([
    [input, 'input'],
    ['embedding', 'embedding'],
    [output, 'features'],
  ]);
  return renameAll(model, source, (name) => names.get(name) ?? `backbone.${name}`);
}

/** Metadata values are text: strings as they are, everything else as JSON. */
function metadataOf(backbone: Backbone, head: Head, input: OnnxInput): Record<string, string> {
  const { kind, labels, temperature, thresholds, unknown, modelId, transformId, created } = head;
  return {
    labels: JSON.stringify(labels),
    kind,
    temperature: JSON.stringify(temperature),
    thresholds: JSON.stringify(thresholds),
    unknownRate: JSON.stringify(unknown?.rate ?? null),
    input,
    transform: JSON.stringify(backbone.transform),
    modelId,
    transformId,
    created,
  };
}

/** A head as operators after `embedding` [batch, D]. */
function headOperators(head: Head, explain: boolean): Extension {
  const { labels, width, kind, bias, temperature, unknown } = head;
  const weights = Float32Array.from(head.weights.to1DArray());
  const detector = unknown && typicalityOperators(labels.length, width, unknown);
  return {
    after: [
      node('Gemm', ['embedding', 'head.weight', 'head.bias'], ['logits'], { transB: 1 }, 'head'),
      node('Div', ['logits', 'head.temperature'], ['head.calibrated'], {}, 'head.calibrate'),
      kind === 'softmax'
        ? node('Softmax', ['head.calibrated'], ['probabilities'], { axis: 1 }, 'head.softmax')
        : node('Sigmoid', ['head.calibrated'], ['probabilities'], {}, 'head.sigmoid'),
      // The logits of each position. Their mean is that of the picture.
      ...(explain
        ? [node('Conv', ['features', 'head.kernel', 'head.bias'], ['shares'], { kernel_shape: [1, 1] })]
        : []),
      ...(detector?.after ?? []),
    ],
    initializers: [
      initializer('head.weight', [labels.length, width], weights),
      initializer('head.bias', [labels.length], bias),
      ...(explain ? [initializer('head.kernel', [labels.length, width, 1, 1], weights)] : []),
      initializer('head.temperature', [], Float32Array.of(temperature)),
      ...(detector?.initializers ?? []),
    ],
    outputs: [
      tensorInfo('probabilities', ['batch', labels.length]),
      tensorInfo('logits', ['batch', labels.length]),
      tensorInfo('embedding', ['batch', width]),
      ...(explain ? [tensorInfo('shares', ['batch', labels.length, 'rows', 'columns'])] : []),
      ...(detector?.outputs ?? []),
    ],
  };
}

/** Keeps a divisor above 0, without changing any other. */
const LEAST_DIVISOR = 1e-30;

/**
 * `Head.typicality` as operators. The score is max (embedding · meanₙ) / ‖embedding‖ + 0.1 ln max p. It counts the kept scores that
 * are lower and, between each kept score sᵢ and the next, of those that were not kept the share (score − sᵢ) / (sᵢ₊₁ − sᵢ), 0 … 1.
 */
function typicalityOperators(classes: number, width: number, { means, typical, rate }: UnknownDetector): Extension {
  const { count, scores } = typical;
  const ranks = ranksOf(count);
  const perScore = (value: (i: number) => number) => Float32Array.from(scores, (_, i) => value(i));
  const between = perScore((i) => (ranks[i + 1] ?? count) - ranks[i]! - 1);
  const widths = perScore((i) => Math.max((scores[i + 1] ?? Infinity) - scores[i]!, LEAST_DIVISOR));
  return {
    after: [
      node('Gemm', ['embedding', 'typicality.means'], ['typicality.products'], { transB: 1 }),
      node('ReduceMax', ['typicality.products', 'typicality.axes'], ['typicality.nearest']),
      node('ReduceL2', ['embedding', 'typicality.axes'], ['typicality.norm']),
      node('Max', ['typicality.norm', 'typicality.leastDivisor'], ['typicality.length']),
      node('Div', ['typicality.nearest', 'typicality.length'], ['typicality.cosine']),
      node('ReduceMax', ['probabilities', 'typicality.axes'], ['typicality.largest']),
      node('Log', ['typicality.largest'], ['typicality.logLargest']),
      node('Mul', ['typicality.logLargest', 'typicality.certainty'], ['typicality.certain']),
      node('Add', ['typicality.cosine', 'typicality.certain'], ['typicality.score']),
      node('Less', ['typicality.scores', 'typicality.score'], ['typicality.isLower']),
      node('Cast', ['typicality.isLower'], ['typicality.lower'], { to: DataType.FLOAT }),
      node('Sub', ['typicality.score', 'typicality.scores'], ['typicality.distance']),
      node('Div', ['typicality.distance', 'typicality.widths'], ['typicality.ratio']),
      node('Clip', ['typicality.ratio', 'typicality.none', 'typicality.all'], ['typicality.share']),
      node('Mul', ['typicality.share', 'typicality.between'], ['typicality.others']),
      node('Add', ['typicality.lower', 'typicality.others'], ['typicality.counted']),
      node('ReduceSum', ['typicality.counted', 'typicality.axes'], ['typicality.below'], { keepdims: 0 }),
      node('Div', ['typicality.below', 'typicality.count'], ['typicality']),
      ...(rate === 'off' ? [] : [node('Less', ['typicality', 'typicality.rate'], ['unknown'])]),
    ],
    initializers: [
      initializer('typicality.means', [classes, width], Float32Array.from(means.to1DArray())),
      initializer('typicality.axes', [1], [1]),
      initializer('typicality.leastDivisor', [], Float32Array.of(LEAST_DIVISOR)),
      initializer('typicality.certainty', [], Float32Array.of(CERTAINTY)),
      initializer('typicality.scores', [scores.length], Float32Array.from(scores)),
      initializer('typicality.between', [scores.length], between),
      initializer('typicality.widths', [scores.length], widths),
      initializer('typicality.none', [], Float32Array.of(0)),
      initializer('typicality.all', [], Float32Array.of(1)),
      initializer('typicality.count', [], Float32Array.of(count)),
      ...(rate === 'off' ? [] : [initializer('typicality.rate', [], Float32Array.of(rate))]),
    ],
    outputs: [
      tensorInfo('typicality', ['batch']),
      ...(rate === 'off' ? [] : [tensorInfo('unknown', ['batch'], 'bool')]),
    ],
  };
}
