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
import { constantInts, node, subgraphsOf, tensorInfo } from './build.js';
import { dimensionsOf, graphOf, pictureInput } from './model.js';

/**
 * Cuts a network down to its pooled features by editing its graph: finds the global pooling that is nearest to the
 * output, keeps what leads there, and names the flattened result `embedding` [batch, width]. The number of rows in a
 * batch is made dynamic. A model that has an output `embedding` already is left as it is.
 * @param options.keepLogits keep the rest of the network too, with its first output named `logits`, unless it was
 *   exported for batches of a fixed size, with which the rest may not work on others
 * @throws {LastlayerError} where the network has no picture as its input or does not end in global pooling
 */
export function truncateAtPooling(
  model: ModelProto,
  path: string,
  options: { keepLogits: boolean },
): ModelProto {
  const graph = graphOf(model, path);
  if (graph.output.some(({ name }) => name === 'embedding')) return model;
  const input = pictureInput(graph, path);
  const pooled = globalPooling(graph, path);

  // 'features' and 'classes' only name dimensions: onnxruntime reads the real ones off the graph.
  const outputs = [tensorInfo('embedding', ['batch', 'features'])];
  const added = [node('Flatten', [outputOf(pooled)], ['embedding'], { axis: 1 }, 'lastlayer.flatten')];
  const wanted = [outputOf(pooled)];
  const original = graph.output[0];
  const [batch] = dimensionsOf(input) ?? [];
  if (options.keepLogits && typeof batch === 'string' && original && original.name !== outputOf(pooled)) {
    outputs.push(tensorInfo('logits', ['batch', 'classes']));
    added.push(node('Identity', [original.name], ['logits'], {}, 'lastlayer.logits'));
    wanted.push(original.name);
  }

  return cut(model, path, { wanted, added, outputs });
}

/** Walks back from the outputs; every way must meet the same pooling before it meets another one. */
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
    const what = pooling
      ? `${found.size} global poolings side by side`
      : 'no global pooling before its output';
    throw new LastlayerError(
      `${path} has ${what} (its last operators are ${last.join(', ')}). A network that ends in one global ` +
        `pooling is needed, such as a ResNet; or say which features to take: \`npm run inspect -- --model FILE ` +
        `--features\` lists them, and \`npm run fetch-model -- --from FILE --features NAME\` takes one.`,
    );
  }
  return pooling;
}

function isGlobalPooling(candidate: NodeProto, graph: GraphProto): boolean {
  if (['GlobalAveragePool', 'GlobalMaxPool', 'AveragePool'].includes(candidate.opType)) return true;
  if (candidate.opType !== 'ReduceMean' && candidate.opType !== 'ReduceMax') return false;
  const axes =
    candidate.attribute.find(({ name }) => name === 'axes')?.ints.map(Number) ??
    constantInts(candidate.input[1] ?? '', graph);
  const spatial = axes?.map((axis) => (axis < 0 ? axis + 4 : axis)).sort((a, b) => a - b);
  return spatial?.join() === '2,3';
}

/**
 * Finds a tensor by its own name, or by that of the operator that it comes from.
 * @throws {LastlayerError} where there is none of that name
 */
export function tensorNamed(model: ModelProto, path: string, name: string): string {
  const { node: operators } = graphOf(model, path);
  if (name !== '') {
    if (operators.some(({ output }) => output.includes(name))) return name;
    const operator = operators.find((each) => each.name === name);
    if (operator) return outputOf(operator);
  }
  const last = operators.slice(-3).map(outputOf);
  throw new LastlayerError(
    `${path} has no features ${JSON.stringify(name)}: no operator gives a tensor of that name or is called so (the last ` +
      `tensors are ${last.join(', ')}). \`npm run inspect -- --model FILE --features\` lists all that can be taken.`,
  );
}

/**
 * Cuts a network at a tensor, which becomes `embedding` [batch, width]: one of two dimensions as it is, feature maps
 * [batch, channels, height, width] averaged over their positions. The number of rows in a batch is made dynamic.
 * @param tensor as {@link tensorNamed} gives it
 * @param dimensions how many the tensor has
 * @throws {LastlayerError} where it has neither two nor four dimensions, or the network has no picture as its input
 */
export function truncateAt(model: ModelProto, path: string, tensor: string, dimensions: number): ModelProto {
  if (dimensions !== 2 && dimensions !== 4) {
    throw new LastlayerError(
      `${path}: ${tensor} has ${dimensions} dimensions, so it is no embedding. Features [N, width], or feature maps ` +
        `[N, channels, height, width], which are averaged over their positions, can be taken; \`npm run inspect -- ` +
        `--model FILE --features\` lists them.`,
    );
  }
  const [renamed, features] = withoutEmbedding(graphOf(model, path), tensor);
  return cut({ ...model, graph: renamed }, path, {
    wanted: [features],
    added: dimensions === 2 ? asItIs(features) : averaged(features),
    outputs: [tensorInfo('embedding', ['batch', 'features'])],
  });
}

function asItIs(tensor: string): NodeProto[] {
  return [node('Identity', [tensor], ['embedding'], {}, 'lastlayer.features')];
}

function averaged(tensor: string): NodeProto[] {
  return [
    node('GlobalAveragePool', [tensor], ['lastlayer.pooled'], {}, 'lastlayer.pool'),
    node('Flatten', ['lastlayer.pooled'], ['embedding'], { axis: 1 }, 'lastlayer.flatten'),
  ];
}

/** A network may have a tensor `embedding` inside already, which then gets another name. */
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

/** What is left of a network. */
interface Cut {
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
function cut(model: ModelProto, path: string, { wanted, added, outputs }: Cut): ModelProto {
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
function outputOf(n: NodeProto): string {
  return n.output[0] ?? '';
}

function withDynamicBatch(input: ValueInfoProto): ValueInfoProto {
  const [, ...rest] = dimensionsOf(input) ?? [];
  return tensorInfo(input.name, ['batch', ...rest]);
}

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

/** The constants that these operators read. */
function initializersOf(nodes: readonly NodeProto[], graph: GraphProto): GraphProto['initializer'] {
  const used = new Set(nodes.flatMap(inputsOf));
  return graph.initializer.filter(({ name }) => used.has(name));
}

/** Which operator each result comes from. */
function producersOf(graph: GraphProto): Map<string, NodeProto> {
  return new Map(graph.node.flatMap((n) => n.output.map((name) => [name, n] as const)));
}

/** What an operator reads, its subgraphs' own reading included. */
function inputsOf(n: NodeProto): string[] {
  return [...n.input, ...subgraphsOf(n).flatMap((graph) => graph.node.flatMap(inputsOf))];
}

/** The same model with the named results of its operators as further outputs, so that a run shows what goes on inside. */
export function expose(model: ModelProto, path: string, names: readonly string[]): ModelProto {
  const graph = graphOf(model, path);
  const present = new Set(graph.output.map(({ name }) => name));
  const inner = names
    .filter((name) => !present.has(name))
    .map((name) => create(ValueInfoProtoSchema, { name }));
  return { ...model, graph: { ...graph, output: [...graph.output, ...inner] } };
}
