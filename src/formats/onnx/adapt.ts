import {
  type GraphProto,
  type ModelProto,
  type NodeProto,
  TensorProto_DataType as DataType,
  type ValueInfoProto,
} from 'onnx-buf';
import { node, tensorInfo } from './build.js';
import { inputsOf } from './cut.js';
import { extend, freeNames } from './edit.js';
import { dimensionsOf, elementTypeOf, graphOf, inputsOfGraph } from './model.js';

/**
 * Makes a model take pictures as lastlayer gives them, float32 [N, 3, height, width], where its own input is [N, height, width, 3]
 * or in half precision. If the picture is one of several inputs, everything that depends on the others is left out.
 * @returns the very same model where there is nothing to adapt, or its input is something else
 */
export function adaptInput(model: ModelProto, path: string): ModelProto {
  const graph = graphOf(model, path);
  const inputs = inputsOfGraph(graph);
  const [picture, ...others] = inputs.filter((input) => isPicture(input));
  if (!picture || others.length > 0) return model;
  const alone = inputs.length === 1 ? model : { ...model, graph: withoutInputs(graph, picture, inputs) };
  return withPlanes(alone, path, picture);
}

/** Whether an input is [N, 3, H, W] or [N, H, W, 3], in single or half precision. */
function isPicture(input: ValueInfoProto): boolean {
  const type = elementTypeOf(input);
  const dims = dimensionsOf(input) ?? [];
  const [, channels] = dims;
  const hasChannels = channels === 3 || typeof channels === 'string' || hasChannelsLast(input);
  return dims.length === 4 && hasChannels && (type === DataType.FLOAT || type === DataType.FLOAT16);
}

function hasChannelsLast(input: ValueInfoProto): boolean {
  const [, first, , last] = dimensionsOf(input) ?? [];
  return last === 3 && first !== 3;
}

/** The part of a graph that depends on no input but the picture. */
function withoutInputs(graph: GraphProto, picture: ValueInfoProto, inputs: readonly ValueInfoProto[]): GraphProto {
  const missing = new Set(inputs.map(({ name }) => name).filter((name) => name !== picture.name));
  const nodes: NodeProto[] = [];
  // Operators are in the order of computation.
  for (const each of graph.node) {
    // The name of an omitted input is empty.
    if (!inputsOf(each).some((name) => name !== '' && missing.has(name))) nodes.push(each);
    else each.output.forEach((name) => missing.add(name));
  }
  return {
    ...graph,
    node: nodes,
    input: graph.input.filter(({ name }) => !missing.has(name)),
    output: graph.output.filter(({ name }) => !missing.has(name)),
  };
}

function withPlanes(model: ModelProto, path: string, picture: ValueInfoProto): ModelProto {
  const [batch = 'batch', ...rest] = dimensionsOf(picture) ?? [];
  const isLast = hasChannelsLast(picture);
  const isHalf = elementTypeOf(picture) === DataType.FLOAT16;
  if (!isLast && !isHalf) return model;
  const freeName = freeNames(graphOf(model, path));
  const input = freeName('picture');
  const single = isHalf && isLast ? freeName('picture.transposed') : input;
  const [height = 'height', width = 'width'] = isLast ? rest : rest.slice(1);
  const before = [
    ...(isLast ? [node('Transpose', [input], [isHalf ? single : picture.name], { perm: [0, 2, 3, 1] })] : []),
    ...(isHalf ? [node('Cast', [single], [picture.name], { to: DataType.FLOAT16 })] : []),
  ];
  return extend(model, path, { before, inputs: [tensorInfo(input, [batch, 3, height, width])] });
}
