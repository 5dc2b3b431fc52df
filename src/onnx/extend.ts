import { create } from '@bufbuild/protobuf';
import {
  GraphProtoSchema,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from 'onnx-buf';
import { graphOf } from './model.js';

/** What a network gets in addition. */
export interface Extension {
  /** Operators ahead of its own, and after them. */
  before?: readonly NodeProto[];
  after?: readonly NodeProto[];
  initializers?: readonly TensorProto[];
  /** What it takes, and gives, instead. */
  inputs?: ValueInfoProto[];
  outputs?: ValueInfoProto[];
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
