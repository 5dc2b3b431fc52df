import type { NodeProto } from 'onnx-buf';
import { decodeModel, graphOf } from '../formats/onnx/model.js';
import type { Backbone } from './backbone.js';
import { tensorsOfOnePicture } from './session.js';

/** One operator of the network. */
export interface Layer {
  /** Where it stands in the tree of layers, e.g. ['layer1', '0', 'conv1']. */
  path: string[];
  /** ONNX operator with what tells it from others, e.g. `Conv 3×3 /2`. */
  operator: string;
  /** Shape of its result for one picture, e.g. [64, 112, 112]. */
  shape: readonly number[];
  /** Weights and biases that it holds. */
  parameters: number;
}

/** What is no layer: constants, and the rounding between the layers of an int8 network. */
const HIDDEN = new Set(['Constant', 'QuantizeLinear', 'DequantizeLinear']);

/**
 * The layers of the network, in the order of the data's way. Shapes are what one picture of the transform's size gives,
 * so the network is run once.
 * @throws {LastlayerError} where it does not run
 */
export async function inspectBackbone(backbone: Backbone): Promise<Layer[]> {
  const model = decodeModel(backbone.onnx, backbone.source);
  const graph = graphOf(model, backbone.source);
  const layers = graph.node.filter(({ opType }) => !HIDDEN.has(opType));
  const results = layers.flatMap(({ output }) => output).filter((name) => name !== '');
  const tensors = await tensorsOfOnePicture(model, backbone.source, results, backbone.transform.crop);
  const sizes = new Map(
    graph.initializer.map(({ name, dims }) => [name, dims.reduce((n, dim) => n * Number(dim), 1)]),
  );
  /** The weights of an int8 network, by the name that its layers read them under. */
  const weights = new Map(
    graph.node
      .filter(({ opType }) => opType === 'DequantizeLinear')
      .map(({ input, output }) => [output[0] ?? '', input[0] ?? '']),
  );
  return layers.map((layer) => ({
    path: pathOf(layer),
    operator: describe(layer),
    shape: tensors.get(layer.output[0] ?? '')?.dims.slice(1) ?? [],
    parameters: layer.input.reduce((n, name) => n + (sizes.get(weights.get(name) ?? name) ?? 0), 0),
  }));
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
