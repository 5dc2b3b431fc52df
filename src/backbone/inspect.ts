import type { GraphProto, NodeProto } from 'onnx-buf';
import { batchOf, decodeModel, graphOf } from '../formats/onnx/model.js';
import type { Backbone } from './backbone.js';
import { readWholeModel, transformOf } from './model.js';
import { tensorsOfOnePicture } from './session.js';

/** One operator of a backbone. */
export interface Layer {
  /** Its place in the tree of layers, e.g. ['layer1', '0', 'conv1']. */
  path: string[];
  /** The ONNX operator with its kernel and stride, e.g. `Conv 3×3 /2`. */
  operator: string;
  /** Shape of its result for one picture, e.g. [64, 112, 112]. */
  shape: readonly number[];
  /** How many weights and biases it has. */
  parameters: number;
}

/** Not shown as layers: constants, and the rounding between the layers of an int8 backbone. */
const HIDDEN = new Set(['Constant', 'QuantizeLinear', 'DequantizeLinear']);

/**
 * The layers of a backbone, in the order of computation. Runs it once, on one picture of the transform's size, to get the
 * shapes.
 * @throws {LastlayerError} if it does not run
 */
export async function inspectBackbone(backbone: Backbone): Promise<Layer[]> {
  const model = decodeModel(backbone.onnx, backbone.source);
  const graph = graphOf(model, backbone.source);
  const layers = graph.node.filter(({ opType }) => !HIDDEN.has(opType));
  const tensors = await tensorsOfOnePicture(model, backbone.source, resultsOf(layers), backbone.transform.crop);
  const parameters = parameterCounts(graph);
  return layers.map((layer) => ({
    path: pathOf(layer),
    operator: describe(layer),
    shape: tensors.get(layer.output[0] ?? '')?.dims.slice(1) ?? [],
    parameters: layer.input.reduce((n, name) => n + (parameters.get(name) ?? 0), 0),
  }));
}

/** The names of all results; that of an omitted one is empty. */
function resultsOf(layers: readonly NodeProto[]): string[] {
  return layers.flatMap(({ output }) => output).filter((name) => name !== '');
}

/** How many numbers each constant has, by the name that layers read it under; in an int8 backbone, the dequantised one. */
function parameterCounts({ initializer, node }: GraphProto): Map<string, number> {
  const counts = new Map(initializer.map(({ name, dims }) => [name, dims.reduce((n, dim) => n * Number(dim), 1)]));
  for (const { opType, input, output } of node) {
    const count = opType === 'DequantizeLinear' ? counts.get(input[0] ?? '') : undefined;
    if (count !== undefined) counts.set(output[0] ?? '', count);
  }
  return counts;
}

/** Names are `layer1.0.conv1` here and `/layer1/layer1.0/conv1/Conv` in PyTorch's exports. */
function pathOf({ name, opType, output }: NodeProto): string[] {
  const full = name !== '' ? name : (output[0] ?? opType);
  if (!full.startsWith('/')) return full.split('.');
  const modules = full.split('/').slice(1);
  return modules.map((module) => module.split('.').at(-1) ?? module);
}

function describe({ opType, attribute }: NodeProto): string {
  const ints = (wanted: string) => attribute.find(({ name }) => name === wanted)?.ints.map(Number) ?? [];
  const kernel = ints('kernel_shape').join('×');
  const stride = Math.max(1, ...ints('strides'));
  return [opType, kernel, stride > 1 ? `/${stride}` : ''].filter((part) => part !== '').join(' ');
}

/** A tensor inside a model that can serve as the embedding. */
export interface FeatureCandidate {
  tensor: string;
  /** Kind and name of the operator that computes it; the name may be empty. */
  operator: string;
  name: string;
  /** Its shape for one picture: [width], or [channels, height, width]. */
  shape: readonly number[];
  /** Width that the embedding would have. */
  width: number;
}

/**
 * Where a model can be cut, whether or not it ends in pooling: all its float32 and float16 tensors [N, width] and feature maps
 * [N, channels, height, width], in the order of computation. Runs the model once, on one picture.
 * @param path .onnx, or a ResNet's checkpoint
 * @throws {LastlayerError} if it cannot be read or run
 */
export async function featureCandidates(path: string): Promise<FeatureCandidate[]> {
  const { model } = await readWholeModel(path, path);
  const layers = graphOf(model, path).node.filter(({ opType }) => opType !== 'Constant');
  const tensors = await tensorsOfOnePicture(model, path, resultsOf(layers), transformOf(model, path).crop);
  const batch = batchOf(model, path);
  return layers.flatMap(({ opType, name, output }) =>
    output.flatMap((tensor) => {
      const { type, dims } = tensors.get(tensor) ?? { type: 'missing', dims: [] };
      const [rows, width = 0] = dims;
      const isFloat = type === 'float32' || type === 'float16';
      const isCandidate = isFloat && rows === (typeof batch === 'number' ? batch : 1) && [2, 4].includes(dims.length);
      return isCandidate ? [{ tensor, operator: opType, name, shape: dims.slice(1), width }] : [];
    }),
  );
}
