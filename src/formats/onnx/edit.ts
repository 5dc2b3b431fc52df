import { create } from '@bufbuild/protobuf';
import {
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  type NodeProto,
  OperatorSetIdProtoSchema,
  type TensorProto,
  type ValueInfoProto,
} from 'onnx-buf';
import { LastlayerError } from '../../util/errors.js';
import { intTensor, node } from './build.js';
import { graphOf, opsetOf } from './model.js';

/**
 * The same network with other names for its values, those of subgraphs included: operators that are added to it cannot take
 * a name that somebody else gave to something in it.
 * @param rename gives the new name for an old one
 */
export function renameValues(model: ModelProto, path: string, rename: (name: string) => string): ModelProto {
  // An input that is left out has an empty name.
  return { ...model, graph: inGraph(graphOf(model, path), (name) => (name === '' ? '' : rename(name))) };
}

function inGraph(graph: GraphProto, rename: (name: string) => string): GraphProto {
  const renamed = <Value extends { name: string }>(value: Value): Value => ({
    ...value,
    name: rename(value.name),
  });
  return {
    ...graph,
    node: graph.node.map((each) => inNode(each, rename)),
    initializer: graph.initializer.map(renamed),
    sparseInitializer: graph.sparseInitializer.map((sparse) => ({
      ...sparse,
      ...(sparse.values && { values: renamed(sparse.values) }),
    })),
    input: graph.input.map(renamed),
    output: graph.output.map(renamed),
    // Of use to nobody who runs the network.
    valueInfo: [],
    quantizationAnnotation: [],
  };
}

function inNode(node: NodeProto, rename: (name: string) => string): NodeProto {
  return {
    ...node,
    input: node.input.map(rename),
    output: node.output.map(rename),
    attribute: node.attribute.map((attribute) => ({
      ...attribute,
      ...(attribute.g && { g: inGraph(attribute.g, rename) }),
      graphs: attribute.graphs.map((graph) => inGraph(graph, rename)),
    })),
  };
}

/** What networks are raised to, and the first IR version that goes with it. */
const OPSET = 18;
const IR_VERSION = 8n;

/** From this version on, the operators mean the same in version 18, but for those that are rewritten here. */
const LEAST_OPSET = 13;

/** Reductions whose axes became an input in version 18 (github.com/onnx/onnx, docs/Changelog.md). */
const REDUCTIONS = new Set([
  'ReduceL1',
  'ReduceL2',
  'ReduceLogSum',
  'ReduceLogSumExp',
  'ReduceMax',
  'ReduceMean',
  'ReduceMin',
  'ReduceProd',
  'ReduceSumSquare',
]);

/**
 * The same network for version 18 of ONNX's operators; a network for a later version is left as it is.
 * @throws {LastlayerError} where it is for a version below 13
 */
export function raiseOpset(model: ModelProto, path: string): ModelProto {
  const version = opsetOf(model);
  if (version >= OPSET) return model;
  if (version < LEAST_OPSET) {
    throw new LastlayerError(
      `${path} is written for version ${version} of ONNX's operators, which mean something else in version ${OPSET}. ` +
        `Export the network for opset ${LEAST_OPSET} or later.`,
    );
  }
  const graph = graphOf(model, path);
  const axes: TensorProto[] = [];
  const nodes = graph.node.map((each, i) => {
    if (REDUCTIONS.has(each.opType)) return withAxesInput(each, `lastlayer.axes.${i}`, axes);
    return each.opType === 'Split' ? withOutputCount(each) : each;
  });
  const others = model.opsetImport.filter(({ domain }) => domain !== '' && domain !== 'ai.onnx');
  return {
    ...model,
    irVersion: model.irVersion > IR_VERSION ? model.irVersion : IR_VERSION,
    opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(OPSET) }), ...others],
    graph: { ...graph, node: nodes, initializer: [...graph.initializer, ...axes] },
  };
}

function withAxesInput(reduction: NodeProto, name: string, constants: TensorProto[]): NodeProto {
  const axes = reduction.attribute.find((attribute) => attribute.name === 'axes');
  if (!axes) return reduction;
  constants.push(intTensor(name, [axes.ints.length], axes.ints.map(Number)));
  return {
    ...reduction,
    input: [...reduction.input, name],
    attribute: reduction.attribute.filter((attribute) => attribute !== axes),
  };
}

/** Parts of equal size have to be counted since version 18. */
function withOutputCount(split: NodeProto): NodeProto {
  if (split.input.length > 1) return split;
  const { attribute } = node('Split', [], [], { num_outputs: split.output.length });
  return { ...split, attribute: [...split.attribute, ...attribute] };
}

/** What a network gets in addition. */
export interface Extension {
  /** Operators ahead of its own, and after them. */
  before?: readonly NodeProto[] | undefined;
  after?: readonly NodeProto[] | undefined;
  initializers?: readonly TensorProto[] | undefined;
  /** What it takes, and gives, instead. */
  inputs?: ValueInfoProto[] | undefined;
  outputs?: ValueInfoProto[] | undefined;
}

/** The same network with operators around it. */
export function extend(model: ModelProto, path: string, extension: Extension): ModelProto {
  const graph = graphOf(model, path);
  const { before = [], after = [], initializers = [], inputs, outputs } = extension;
  const extended = create(GraphProtoSchema, {
    name: graph.name,
    node: [...before, ...graph.node, ...after],
    initializer: [...graph.initializer, ...initializers],
    sparseInitializer: graph.sparseInitializer,
    input: inputs ?? graph.input,
    output: outputs ?? graph.output,
  });
  return { ...model, graph: extended };
}
