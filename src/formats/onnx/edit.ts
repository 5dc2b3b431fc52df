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
import { initializer, node } from './build.js';
import { graphOf, opsetOf, subgraphsOf } from './model.js';

/** What to add to a model. */
export interface Extension {
  /** Operators before its own, and after them. */
  before?: readonly NodeProto[] | undefined;
  after?: readonly NodeProto[] | undefined;
  initializers?: readonly TensorProto[] | undefined;
  /** Replace its own. */
  inputs?: ValueInfoProto[] | undefined;
  outputs?: ValueInfoProto[] | undefined;
}

/** The same model with operators around it. */
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

/**
 * The same model with other names for its tensors and operators, those in subgraphs included, so that what is added to it cannot
 * clash with them.
 * @param rename returns the new name for an old one
 */
export function renameAll(model: ModelProto, path: string, rename: (name: string) => string): ModelProto {
  // The name of an omitted input is empty, as are those of many operators.
  return { ...model, graph: renamedGraph(graphOf(model, path), (name) => (name === '' ? '' : rename(name))) };
}

function renamedGraph(graph: GraphProto, rename: (name: string) => string): GraphProto {
  const renamed = <Value extends { name: string }>(value: Value): Value => ({
    ...value,
    name: rename(value.name),
  });
  return {
    ...graph,
    node: graph.node.map((node) => renamedNode(node, rename)),
    initializer: graph.initializer.map(renamed),
    sparseInitializer: graph.sparseInitializer.map((sparse) => ({
      ...sparse,
      ...(sparse.values && { values: renamed(sparse.values) }),
    })),
    input: graph.input.map(renamed),
    output: graph.output.map(renamed),
    // Not needed to run the model.
    valueInfo: [],
    quantizationAnnotation: [],
  };
}

function renamedNode(node: NodeProto, rename: (name: string) => string): NodeProto {
  return {
    ...node,
    name: rename(node.name),
    input: node.input.map(rename),
    output: node.output.map(rename),
    attribute: node.attribute.map((attribute) => ({
      ...attribute,
      ...(attribute.g && { g: renamedGraph(attribute.g, rename) }),
      graphs: attribute.graphs.map((graph) => renamedGraph(graph, rename)),
    })),
  };
}

/**
 * The same model with other names in place of some, so that what is added to it can have these.
 * @param names each stands for itself and for what begins with it and a dot
 * @returns the very same model where nothing in it has such a name; and the new name for an old one
 */
export function withoutNames(
  model: ModelProto,
  path: string,
  names: readonly string[],
): { model: ModelProto; rename: (name: string) => string } {
  const graph = graphOf(model, path);
  const freeName = freeNames(graph);
  const taken = [...namesIn(graph)].filter((own) => names.some((name) => own === name || own.startsWith(`${name}.`)));
  const renamed = new Map(taken.map((own) => [own, freeName(`network.${own}`)]));
  const rename = (name: string) => renamed.get(name) ?? name;
  return { model: taken.length === 0 ? model : renameAll(model, path, rename), rename };
}

/**
 * Returns a function that gives names that no tensor and no operator has yet: the wanted one, or if it is taken, one that ends in it.
 */
export function freeNames(graph: GraphProto): (wanted: string) => string {
  const taken = namesIn(graph);
  return (wanted) => {
    let name = wanted;
    while (taken.has(name)) name = `lastlayer.${name}`;
    taken.add(name);
    return name;
  };
}

/** The names of all tensors and operators, those in subgraphs included. onnxruntime wants both to be unique. */
function namesIn(graph: GraphProto): Set<string> {
  const { input, initializer, sparseInitializer, node } = graph;
  const sparse = sparseInitializer.flatMap(({ values }) => values ?? []);
  return new Set([
    ...[...input, ...initializer, ...sparse].map(({ name }) => name),
    ...node.flatMap(({ name, output }) => [name, ...output]).filter((name) => name !== ''),
    ...node.flatMap(subgraphsOf).flatMap((subgraph) => [...namesIn(subgraph)]),
  ]);
}

/** The opset that models are raised to, and the first IR version that goes with it. */
const OPSET = 18;
const IR_VERSION = 8n;

/** From this version on, operators mean the same as in version 18, but for those that are rewritten here. */
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
 * The same model for version 18 of ONNX's operators. A model for a later version is returned as it is.
 * @throws {LastlayerError} if it is for a version below 13
 */
export function raiseOpset(model: ModelProto, path: string): ModelProto {
  const version = opsetOf(model);
  if (version >= OPSET) return model;
  if (version < LEAST_OPSET) {
    throw new LastlayerError(
      `${path} uses version ${version} of ONNX's operators, which mean something else in version ${OPSET}. ` +
        `Export the model for opset ${LEAST_OPSET} or later.`,
    );
  }
  const graph = graphOf(model, path);
  const freeName = freeNames(graph);
  const axes: TensorProto[] = [];
  const nodes = graph.node.map((each, i) => {
    if (REDUCTIONS.has(each.opType)) return withAxesInput(each, freeName(`lastlayer.axes.${i}`), axes);
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
  constants.push(initializer(name, [axes.ints.length], axes.ints.map(Number)));
  return {
    ...reduction,
    input: [...reduction.input, name],
    attribute: reduction.attribute.filter((attribute) => attribute !== axes),
  };
}

/** Since version 18, a Split into equal parts has to say how many. */
function withOutputCount(split: NodeProto): NodeProto {
  if (split.input.length > 1) return split;
  const { attribute } = node('Split', [], [], { num_outputs: split.output.length });
  return { ...split, attribute: [...split.attribute, ...attribute] };
}
