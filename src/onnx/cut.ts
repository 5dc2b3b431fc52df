import { create } from '@bufbuild/protobuf';
import {
  GraphProtoSchema,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type ValueInfoProto,
} from 'onnx-buf';
import { tensorInfo } from './build.js';
import { subgraphsOf } from './constants.js';
import { dimensionsOf, pictureInput } from './input-output.js';
import { graphOf } from './model.js';

/** What is left of a network. */
export interface Cut {
  /** The tensors that are needed of it. */
  wanted: readonly string[];
  /** Operators behind them. */
  added: readonly NodeProto[];
  /** The new outputs. */
  outputs: ValueInfoProto[];
}

/**
 * Keeps of a network what leads to some tensors, with other outputs, and makes the number of rows in a batch dynamic.
 * @throws {LastlayerError} where the network has no picture as its input
 */
export function cut(model: ModelProto, path: string, { wanted, added, outputs }: Cut): ModelProto {
  const graph = graphOf(model, path);
  const nodes = nodesLeadingTo(wanted, graph);
  const used = new Set(nodes.flatMap(inputsOf));
  const edited = create(GraphProtoSchema, {
    name: graph.name,
    node: [...nodes, ...added],
    initializer: graph.initializer.filter(({ name }) => used.has(name)),
    sparseInitializer: graph.sparseInitializer,
    input: [withDynamicBatch(pictureInput(graph, path))],
    output: outputs,
  });
  return { ...model, graph: edited };
}

/** Which operator a tensor comes from. */
export function producersOf(graph: GraphProto): Map<string, NodeProto> {
  return new Map(graph.node.flatMap((n) => n.output.map((name) => [name, n] as const)));
}

/** What a node reads, its subgraphs' own reading included. */
export function inputsOf(n: NodeProto): string[] {
  return [...n.input, ...subgraphsOf(n).flatMap((graph) => graph.node.flatMap(inputsOf))];
}

/** The first tensor that a node gives. */
export function outputOf(n: NodeProto): string {
  return n.output[0] ?? '';
}

function nodesLeadingTo(wanted: readonly string[], graph: GraphProto): NodeProto[] {
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

function withDynamicBatch(input: ValueInfoProto): ValueInfoProto {
  const [, ...rest] = dimensionsOf(input) ?? [];
  return tensorInfo(input.name, ['batch', ...rest]);
}
