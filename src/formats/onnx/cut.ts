import { create } from '@bufbuild/protobuf';
import {
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  type NodeProto,
  TensorProto_DataType as DataType,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from 'onnx-buf';
import { LastlayerError } from '../../util/errors.js';
import { node, tensorInfo } from './build.js';
import { withoutNames } from './edit.js';
import {
  batchOf,
  constantInts,
  dimensionsOf,
  elementTypeOf,
  graphOf,
  inputsOfGraph,
  pictureInput,
  subgraphsOf,
} from './model.js';

/** What a run shows of a tensor: its element type, as onnxruntime calls it, and its shape. */
export interface Measured {
  type: string;
  dims: readonly number[];
}

/** The names that tensors get when a model is made to take bytes. */
const PIXEL_NAMES = ['pixels'];

/** The names that they get when it is cut, and later. */
const ADDED_NAMES = ['embedding', 'logits', 'lastlayer', ...PIXEL_NAMES];

/** Whether a model has an output `embedding`, float32 [N, width]. */
export function isCut(model: ModelProto, path: string): boolean {
  const output = graphOf(model, path).output.find(({ name }) => name === 'embedding');
  return output !== undefined && elementTypeOf(output) === DataType.FLOAT && dimensionsOf(output)?.length === 2;
}

/**
 * Cuts a model at its global pooling, the last one before the output. The flattened result becomes the output `embedding`
 * [batch, width], in float32. The batch size becomes dynamic. A model that already has an output `embedding` is not cut.
 * The model's own tensors get other names where lastlayer needs theirs.
 * @param options.keepLogits keep what follows the pooling too, with its output named `logits`; not if the model
 *   was exported for a fixed batch size, as what follows may not work for others
 * @param options.measured what a run showed of the {@link measurable} tensors; not needed for a model that {@link isCut}
 * @throws {LastlayerError} if the input is not a picture, or the model does not end in one global pooling
 */
export function cutAtPooling(
  model: ModelProto,
  path: string,
  { keepLogits, measured = new Map() }: { keepLogits: boolean; measured?: ReadonlyMap<string, Measured> | undefined },
): ModelProto {
  const hasFixedBatch = typeof batchOf(model, path) === 'number';
  if (isCut(model, path)) {
    return withoutNames(hasFixedBatch ? withDynamicEmbedding(model, path) : model, path, PIXEL_NAMES).model;
  }
  const { pooling, output } = globalPooling(graphOf(model, path), path, measured);
  const { model: own, rename } = withoutNames(model, path, ADDED_NAMES);

  // 'features' and 'classes' only name dimensions: onnxruntime infers the real ones from the graph.
  const outputs = [tensorInfo('embedding', ['batch', 'features'])];
  const flatten = node('Flatten', [rename(pooling)], ['embedding'], { axis: 1 }, 'lastlayer.flatten');
  const added = inFloat32(flatten, measured.get(pooling));
  const wanted = [rename(pooling)];
  if (keepLogits && !hasFixedBatch && output !== pooling) {
    outputs.push(tensorInfo('logits', ['batch', 'classes']));
    const identity = node('Identity', [rename(output)], ['logits'], {}, 'lastlayer.logits');
    added.push(...inFloat32(identity, measured.get(output)));
    wanted.push(rename(output));
  }
  return partOf(own, path, { wanted, added, inputs: [dynamicInput(own, path)], outputs });
}

/** A model with an output `embedding` that was exported for batches of one size, for batches of any. */
function withDynamicEmbedding(model: ModelProto, path: string): ModelProto {
  const outputs = graphOf(model, path)
    .output.filter(({ name }) => name === 'embedding')
    .map(withDynamicBatch);
  return partOf(model, path, { wanted: ['embedding'], inputs: [dynamicInput(model, path)], outputs });
}

/** Operators that may be a global pooling, depending on the shape of their result. */
const POOLINGS = new Set(['GlobalAveragePool', 'GlobalMaxPool', 'AveragePool', 'MaxPool', 'ReduceMean', 'ReduceMax']);

/** The tensors that {@link cutAtPooling} needs to know of: results of poolings, and the outputs. */
export function measurable(model: ModelProto, path: string): string[] {
  const graph = graphOf(model, path);
  const pooled = graph.node.filter(({ opType }) => POOLINGS.has(opType)).map(outputOf);
  return [...pooled, ...graph.output.map(({ name }) => name)];
}

/** The first output that has one global pooling before it, and the result of that pooling. */
function globalPooling(
  graph: GraphProto,
  path: string,
  measured: ReadonlyMap<string, Measured>,
): { pooling: string; output: string } {
  const found = graph.output.map(({ name }) => ({ output: name, poolings: poolingsBefore(name, graph, measured) }));
  for (const { output, poolings } of found) {
    const [pooling] = poolings;
    if (poolings.length === 1 && pooling) return { pooling: outputOf(pooling), output };
  }
  const most = Math.max(0, ...found.map(({ poolings }) => poolings.length));
  const last = graph.node.slice(-4).map(({ opType }) => opType);
  const what = most > 0 ? `${most} global poolings side by side` : 'no global pooling before its output';
  throw new LastlayerError(
    `${path} has ${what} (its last operators are ${last.join(', ')}). Use a model that ends in one global pooling, ` +
      `such as a ResNet, or choose the features: \`npm run inspect -- --model FILE --features\` lists them, and ` +
      `\`npm run fetch-model -- --from FILE --features NAME\` takes one.`,
  );
}

/** Walks back from an output. Every path must meet a global pooling; if one comes to the picture, there is none. */
function poolingsBefore(output: string, graph: GraphProto, measured: ReadonlyMap<string, Measured>): NodeProto[] {
  const producers = producersOf(graph);
  const inputs = new Set(inputsOfGraph(graph).map(({ name }) => name));
  const found = new Set<NodeProto>();
  const seen = new Set<string>();
  const queue = [output];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (inputs.has(name)) return [];
    const producer = producers.get(name);
    // A shape is no feature.
    if (seen.has(name) || !producer || producer.opType === 'Shape') continue;
    seen.add(name);
    if (isGlobalPooling(producer, graph, measured.get(outputOf(producer)))) found.add(producer);
    else queue.push(...inputsOf(producer));
  }
  return [...found];
}

/** Whether nothing but one number for each channel is left: [N, C], [N, C, 1, 1] or, with channels last, [N, 1, 1, C]. */
function isGlobalPooling(operator: NodeProto, graph: GraphProto, measured: Measured | undefined): boolean {
  const { opType } = operator;
  const [, ...dims] = measured?.dims ?? [];
  if (!POOLINGS.has(opType) || dims.filter((n) => n !== 1).length > 1) return false;
  if (!opType.startsWith('Reduce')) return dims.length === 3 && dims[1] === 1 && dims[2] === 1;
  return (dims.length === 1 || dims.length === 3) && ['2,3', '1,2'].includes(reducedAxes(operator, graph) ?? '');
}

/** The axes that a reduction of a tensor of four dimensions reduces, such as `2,3`; undefined if they are no constant. */
export function reducedAxes({ attribute, input }: NodeProto, graph: GraphProto): string | undefined {
  const axes = attribute.find(({ name }) => name === 'axes')?.ints.map(Number) ?? constantInts(input[1] ?? '', graph);
  return axes
    ?.map((axis) => (axis < 0 ? axis + 4 : axis))
    .sort((a, b) => a - b)
    .join();
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
 * Cuts a model at a tensor, which becomes the output `embedding` [batch, width], in float32: features [N, width] as they are,
 * feature maps [N, channels, height, width] averaged over their positions. The batch size becomes dynamic. The model's own
 * tensors get other names where lastlayer needs theirs.
 * @param tensor as {@link findTensor} returns it
 * @param measured what a run showed of it
 * @throws {LastlayerError} if it has neither two nor four dimensions, or the model's input is not a picture
 */
export function cutAtTensor(model: ModelProto, path: string, tensor: string, measured: Measured): ModelProto {
  const dimensions = measured.dims.length;
  if (dimensions !== 2 && dimensions !== 4) {
    throw new LastlayerError(
      `${path}: ${tensor} has ${dimensions} dimensions, so it cannot be an embedding. Take features [N, width], or ` +
        `feature maps [N, channels, height, width], which are averaged over their positions; \`npm run inspect -- ` +
        `--model FILE --features\` lists them.`,
    );
  }
  const { model: own, rename } = withoutNames(model, path, ADDED_NAMES);
  const features = rename(tensor);
  return partOf(own, path, {
    wanted: [features],
    added:
      dimensions === 2
        ? inFloat32(node('Identity', [features], ['embedding'], {}, 'lastlayer.features'), measured)
        : [
            node('GlobalAveragePool', [features], ['lastlayer.pooled'], {}, 'lastlayer.pool'),
            ...inFloat32(
              node('Flatten', ['lastlayer.pooled'], ['embedding'], { axis: 1 }, 'lastlayer.flatten'),
              measured,
            ),
          ],
    inputs: [dynamicInput(own, path)],
    outputs: [tensorInfo('embedding', ['batch', 'features'])],
  });
}

/** An operator whose result is to be an output, and a Cast where that would be in half precision. */
function inFloat32(operator: NodeProto, measured: Measured | undefined): NodeProto[] {
  if (measured?.type !== 'float16') return [operator];
  const output = outputOf(operator);
  const half = `lastlayer.${output}`;
  return [{ ...operator, output: [half] }, node('Cast', [half], [output], { to: DataType.FLOAT })];
}

function dynamicInput(model: ModelProto, path: string): ValueInfoProto {
  return withDynamicBatch(pictureInput(graphOf(model, path), path));
}

function withDynamicBatch(info: ValueInfoProto): ValueInfoProto {
  const [, ...rest] = dimensionsOf(info) ?? [];
  return tensorInfo(info.name, ['batch', ...rest]);
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
  return partOf(model, path, {
    wanted: names,
    inputs: inputsOfGraph(graph),
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
export function producersOf(graph: GraphProto): Map<string, NodeProto> {
  return new Map(graph.node.flatMap((n) => n.output.map((name) => [name, n] as const)));
}

/** What an operator reads, including what its subgraphs read. */
export function inputsOf(n: NodeProto): string[] {
  return [...n.input, ...subgraphsOf(n).flatMap((graph) => graph.node.flatMap(inputsOf))];
}

/** The first tensor that an operator computes. */
export function outputOf(n: NodeProto): string {
  return n.output[0] ?? '';
}

/** The same model with tensors inside it as further outputs, so that a run shows their values. */
export function exposeTensors(model: ModelProto, path: string, names: readonly string[]): ModelProto {
  const graph = graphOf(model, path);
  const present = new Set(graph.output.map(({ name }) => name));
  const inner = names.filter((name) => !present.has(name)).map((name) => create(ValueInfoProtoSchema, { name }));
  return { ...model, graph: { ...graph, output: [...graph.output, ...inner] } };
}
