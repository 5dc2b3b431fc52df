import { create } from '@bufbuild/protobuf';
import { GraphProtoSchema, type GraphProto, type ModelProto, type NodeProto } from 'onnx-buf';
import { LastlayerError } from '../errors.js';
import { subgraphsOf } from './constants.js';
import { graphOf } from './model.js';

/**
 * The same network with only the named outputs, and only the operators and constants that lead to them.
 * @throws {LastlayerError} where it has no such output
 */
export function keepOutputs(model: ModelProto, path: string, names: readonly string[]): ModelProto {
  const graph = graphOf(model, path);
  const missing = names.filter((name) => !graph.output.some((output) => output.name === name));
  if (missing.length > 0) {
    const found = graph.output.map(({ name }) => name).join(', ');
    throw new LastlayerError(`${path} has no output ${missing.join(', ')}; it has ${found}.`);
  }
  const nodes = nodesLeadingTo(names, graph);
  const constants = new Set(graph.initializer.map(({ name }) => name));
  const kept = create(GraphProtoSchema, {
    name: graph.name,
    node: nodes,
    initializer: initializersOf(nodes, graph),
    sparseInitializer: graph.sparseInitializer,
    // Networks of before 2019 list their constants among the inputs.
    input: graph.input.filter(({ name }) => !constants.has(name)),
    output: graph.output.filter(({ name }) => names.includes(name)),
  });
  return { ...model, graph: kept };
}

/** The operators whose results these come from, in the graph's order. */
export function nodesLeadingTo(wanted: readonly string[], graph: GraphProto): NodeProto[] {
  const producers = producersOf(graph);
  const kept = new Set<NodeProto>();
  const queue = [...wanted];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const producer = producers.get(name);
    if (!producer || kept.has(producer)) continue;
    kept.add(producer);
    queue.push(...inputsOf(producer));
  }
  return graph.node.filter((n) => kept.has(n));
}

/** The constants that these operators read. */
export function initializersOf(nodes: readonly NodeProto[], graph: GraphProto): GraphProto['initializer'] {
  const used = new Set(nodes.flatMap(inputsOf));
  return graph.initializer.filter(({ name }) => used.has(name));
}

/** Which operator each result comes from. */
export function producersOf(graph: GraphProto): Map<string, NodeProto> {
  return new Map(graph.node.flatMap((n) => n.output.map((name) => [name, n] as const)));
}

/** What an operator reads, its subgraphs' own reading included. */
export function inputsOf(n: NodeProto): string[] {
  return [...n.input, ...subgraphsOf(n).flatMap((graph) => graph.node.flatMap(inputsOf))];
}
