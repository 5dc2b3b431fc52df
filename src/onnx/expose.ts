import { create } from '@bufbuild/protobuf';
import { ValueInfoProtoSchema, type ModelProto } from 'onnx-buf';
import { graphOf } from './model.js';

/** The same model with the named results of its operators as further outputs, so that a run shows what goes on inside. */
export function expose(model: ModelProto, path: string, names: readonly string[]): ModelProto {
  const graph = graphOf(model, path);
  const present = new Set(graph.output.map(({ name }) => name));
  const inner = names
    .filter((name) => !present.has(name))
    .map((name) => create(ValueInfoProtoSchema, { name }));
  return { ...model, graph: { ...graph, output: [...graph.output, ...inner] } };
}
