import { create } from '@bufbuild/protobuf';
import {
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  type NodeProto,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import { LastlayerError } from '../../util/errors.js';
import { node, tensorInfo } from './build.js';
import { constantInts, dimensionsOf, graphOf, pictureInput, subgraphsOf } from './model.js';

/**
 * Cuts a model at its global pooling, the last one before the output. The flattened result becomes the output `embedding`
 * [batch, width]. The batch size becomes dynamic. A model that already has an output `embedding` is returned as it is.
 * @param options.keepLogits keep what follows the pooling too, with its first output named `logits`; not if the model
 *   was exported for a fixed batch size, as what follows may not work for others
 * @throws {LastlayerError} if the input is not a picture, or the model does not end in one global pooling
 */
export function cutAtPooling(model: ModelProto, path: string, options: { keepLogits: boolean }): ModelProto {
  const graph = graphOf(model, path);
  if (graph.output.some(({ name }) => name === 'embedding')) return model;
  const input = pictureInput(graph, path);
  const pooled = outputOf(globalPooling(graph, path));

  // 'features' and 'classes' only name dimensions: onnxruntime infers the real ones from the graph.
  const outputs = [tensorInfo('embedding', ['batch', 'features'])];
  const added = [node('Flatten', [pooled], ['embedding'], { axis: 1 }, 'lastlayer.flatten')];
  const wanted = [pooled];
  const original = graph.output[0];
  const [batch] = dimensionsOf(input) ?? [];
  if (options.keepLogits && typeof batch === 'string' && original && original.name !== pooled) {
    outputs.push(tensorInfo('logits', ['batch', 'classes']));
    added.push(node('Identity', [original.name], ['logits'], {}, 'lastlayer.logits'));
    wanted.push(original.name);
  }
  return partOf(model, path, { wanted, added, inputs: [withDynamicBatch(input)], outputs });
}

/** Walks back from the output. Every path must meet the same pooling first. */
function globalPooling(graph: GraphProto, path: string): NodeProto {
  const producers = producersOf(graph);
  const found = new Set<NodeProto>();
  const seen = new Set<string>();
  const queue = graph.output.slice(0, 1).map(({ name }) => name);
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    const producer = producers.get(name);
    if (seen.has(name) || !producer) continue;
    seen.add(name);
    if (isGlobalPooling(producer, graph)) found.add(producer);
    else queue.push(...inputsOf(producer));
  }
  const [pooling] = found;
  if (!pooling || found.size > 1) {
    const last = graph.node.slice(-4).map(({ opType }) => opType);
    const what = pooling ? `${found.size} global poolings side by side` : 'no global pooling before its output';
    throw new LastlayerError(
      `${path} has ${what} (its last operators are ${last.join(', ')}). Use a model that ends in one global pooling, ` +
        `such as a ResNet, or choose the features: \`npm run inspect -- --model FILE --features\` lists them, and ` +
        `\`npm run fetch-model -- --from FILE --features NAME\` takes one.`,
    );
  }
  return pooling;
}

function isGlobalPooling({ opType, attribute, input }: NodeProto, graph: GraphProto): boolean {
  if (['GlobalAveragePool', 'GlobalMaxPool', 'AveragePool'].includes(opType)) return true;
  if (opType !== 'ReduceMean' && opType !== 'ReduceMax') return false;
  const axes = attribute.find(({ name }) => name === 'axes')?.ints.map(Number) ?? constantInts(input[1] ?? '', graph);
  const spatial = axes?.map((axis) => (axis < 0 ? axis + 4 : axis)).sort((a, b) => a - b);
  return spatial?.join() === '2,3';
}

/**
 * Finds a tensor by its own name, or by the name of the operator that computes it.
 * @throws {LastlayerError} if there is none of that name
 */
export function findTensor(model: ModelProto, path: string, name: string): string {
  const { node: operators } = graphOf(model, path);
  if (name !== '') {
    if (operators.some(({ output }) => output.includes(name))) return name;
    const operator = operators.find((each) => each.name === name);
    if (operator) return outputOf(operator);
  }
  const last = operators.slice(-3).map(outputOf);
  throw new LastlayerError(
    `${path} has no features ${JSON.stringify(name)}: no tensor or operator has that name (the last tensors are ` +
      `${last.join(', ')}). \`npm run inspect -- --model FILE --features\` lists all that can be taken.`,
  );
}

/**
 * Cuts a model at a tensor, which becomes the output `embedding` [batch, width]: features [N, width] as they are, feature
 * maps [N, channels, height, width] averaged over their positions. The batch size becomes dynamic.
 * @param tensor as {@link findTensor} returns it
 * @param dimensions how many the tensor has
 * @throws {LastlayerError} if that is neither two nor four, or the model's input is not a picture
 */
export function cutAtTensor(model: ModelProto, path: string, tensor: string, dimensions: number): ModelProto {
  if (dimensions !== 2 && dimensions !== 4) {
    throw new LastlayerError(
      `${path}: ${tensor} has ${dimensions} dimensions, so it cannot be an embedding. Take features [N, width], or ` +
        `feature maps [N, channels, height, width], which are averaged over their positions; \`npm run inspect -- ` +
        `--model FILE --features\` lists them.`,
    );
  }
  const [graph, features] = withoutEmbedding(graphOf(model, path), tensor);
  return partOf({ ...model, graph }, path, {
    wanted: [features],
    added:
      dimensions === 2
        ? [node('Identity', [features], ['embedding'], {}, 'lastlayer.features')]
        : [
            node('GlobalAveragePool', [features], ['lastlayer.pooled'], {}, 'lastlayer.pool'),
            node('Flatten', ['lastlayer.pooled'], ['embedding'], { axis: 1 }, 'lastlayer.flatten'),
          ],
    inputs: [withDynamicBatch(pictureInput(graph, path))],
    outputs: [tensorInfo('embedding', ['batch', 'features'])],
  });
}

/** Renames a tensor that is called `embedding` already. */
function withoutEmbedding(graph: GraphProto, tensor: string): [GraphProto, string] {
  if (!producersOf(graph).has('embedding')) return [graph, tensor];
  const rename = (name: string) => (name === 'embedding' ? 'embedding.inner' : name);
  const nodes = graph.node.map((n) => ({
    ...n,
    input: n.input.map(rename),
    output: n.output.map(rename),
  }));
  return [{ ...graph, node: nodes }, rename(tensor)];
}

function withDynamicBatch(input: ValueInfoProto): ValueInfoProto {
  const [, ...rest] = dimensionsOf(input) ?? [];
  return tensorInfo(input.name, ['batch', ...rest]);
}

/**
 * The same model with only the named outputs, and only the operators and constants that they need.
 * @throws {LastlayerError} if it has no such output
 */
export function keepOutputs(model: ModelProto, path: string, names: readonly string[]): ModelProto {
  const graph = graphOf(model, path);
  const missing = names.filter((name) => !graph.output.some((output) => output.name === name));
  if (missing.length > 0) {
    const found = graph.output.map(({ name }) => name).join(', ');
    throw new LastlayerError(`${path} has no output ${missing.join(', ')}; it has ${found}.`);
  }
  const constants = new Set(graph.initializer.map(({ name }) => name));
  return partOf(model, path, {
    wanted: names,
    // Models from before 2019 list their constants among the inputs.
    inputs: graph.input.filter(({ name }) => !constants.has(name)),
    outputs: graph.output.filter(({ name }) => names.includes(name)),
  });
}

interface Part {
  /** The tensors that are needed. */
  wanted: readonly string[];
  /** Operators after them. */
  added?: readonly NodeProto[] | undefined;
  inputs: ValueInfoProto[];
  outputs: ValueInfoProto[];
}

/** The part of a model that computes some tensors. */
function partOf(model: ModelProto, path: string, { wanted, added = [], inputs, outputs }: Part): ModelProto {
  const graph = graphOf(model, path);
  const nodes = nodesLeadingTo(wanted, graph);
  const used = new Set(nodes.flatMap(inputsOf));
  const edited = create(GraphProtoSchema, {
    name: graph.name,
    node: [...nodes, ...added],
    initializer: graph.initializer.filter(({ name }) => used.has(name)),
    sparseInitializer: graph.sparseInitializer,
    input: inputs,
    output: outputs,
  });
  return { ...model, graph: edited };
}

/** The operators that these tensors depend on, in the graph's order. */
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

/** The operator that computes each tensor. */
function producersOf(graph: GraphProto): Map<string, NodeProto> {
  return new Map(graph.node.flatMap((n) => n.output.map((name) => [name, n] as const)));
}

/** What an operator reads, including what its subgraphs read. */
function inputsOf(n: NodeProto): string[] {
  return [...n.input, ...subgraphsOf(n).flatMap((graph) => graph.node.flatMap(inputsOf))];
}

/** The first tensor that an operator computes. */
function outputOf(n: NodeProto): string {
  return n.output[0] ?? '';
}

/** The same model with tensors inside it as further outputs, so that a run shows their values. */
export function exposeTensors(model: ModelProto, path: string, names: readonly string[]): ModelProto {
  const graph = graphOf(model, path);
  const present = new Set(graph.output.map(({ name }) => name));
  const inner = names.filter((name) => !present.has(name)).map((name) => create(ValueInfoProtoSchema, { name }));
  return { ...model, graph: { ...graph, output: [...graph.output, ...inner] } };
}
