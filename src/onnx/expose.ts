import { create } from '@bufbuild/protobuf';
import { ValueInfoProtoSchema, type ModelProto } from 'onnx-buf';
import { graphOf } from './model.js';

/** The same model with the results of all its operators as outputs, so that a run shows what goes on inside. */
export function exposeAll(model: ModelProto, path: string): ModelProto {
  const graph = graphOf(model, path);
  const present = new Set(graph.output.map(({ name }) => name));
  const inner = graph.node
    .flatMap(({ output }) => output)
    .filter((name) => name !== '' && !present.has(name))
    .map((name) => create(ValueInfoProtoSchema, { name }));
  return { ...model, graph: { ...graph, output: [...graph.output, ...inner] } };
}
