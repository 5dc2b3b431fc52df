import type { GraphProto, ModelProto, NodeProto } from 'onnx-buf';
import { graphOf } from './model.js';

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
