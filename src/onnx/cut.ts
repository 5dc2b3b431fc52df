import { create } from '@bufbuild/protobuf';
import { GraphProtoSchema, type ModelProto, type NodeProto, type ValueInfoProto } from 'onnx-buf';
import { tensorInfo } from './build.js';
import { dimensionsOf, pictureInput } from './input-output.js';
import { graphOf } from './model.js';
import { initializersOf, nodesLeadingTo } from './prune.js';

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
  const edited = create(GraphProtoSchema, {
    name: graph.name,
    node: [...nodes, ...added],
    initializer: initializersOf(nodes, graph),
    sparseInitializer: graph.sparseInitializer,
    input: [withDynamicBatch(pictureInput(graph, path))],
    output: outputs,
  });
  return { ...model, graph: edited };
}

/** The first tensor that a node gives. */
export function outputOf(n: NodeProto): string {
  return n.output[0] ?? '';
}

function withDynamicBatch(input: ValueInfoProto): ValueInfoProto {
  const [, ...rest] = dimensionsOf(input) ?? [];
  return tensorInfo(input.name, ['batch', ...rest]);
}
