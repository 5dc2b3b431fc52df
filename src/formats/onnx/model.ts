import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type SparseTensorProto,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type ValueInfoProto,
} from 'onnx-buf';
import { LastlayerError, messageOf } from '../../util/errors.js';
import { otherKind } from '../../util/file-kind.js';

/** The bytes of a model, as an .onnx file holds them. The same model always gives the same bytes. */
export function encodeModel(model: ModelProto): Uint8Array {
  return toBinary(ModelProtoSchema, model);
}

/** Fields of onnx.proto: the graph of a model, the constants of a graph, the bytes of a constant. */
const [GRAPH, INITIALIZER, RAW_DATA] = [7, 5, 9];

/**
 * The bytes of a model that goes to onnxruntime, not into a file. Constants come last and are copied once, where
 * {@link encodeModel} copies them at each level that they are nested in, and whenever its buffer grows.
 */
export function encodeForRuntime(model: ModelProto): Uint8Array<ArrayBuffer> {
  const { graph, ...others } = model;
  if (!graph) return new Uint8Array(encodeModel(model));
  const constants = graph.initializer.flatMap((tensor) => {
    const { rawData } = tensor;
    if (rawData.length === 0) return field(INITIALIZER, [toBinary(TensorProtoSchema, tensor)]);
    // Of a field that is there twice, the last one counts.
    const described = toBinary(TensorProtoSchema, { ...tensor, rawData: new Uint8Array() });
    return field(INITIALIZER, [described, ...field(RAW_DATA, [rawData])]);
  });
  const nodes = toBinary(GraphProtoSchema, { ...graph, initializer: [] });
  const parts = [toBinary(ModelProtoSchema, others), ...field(GRAPH, [nodes, ...constants])];
  const bytes = new Uint8Array(lengthOf(parts));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** A field of bytes, in parts: its tag and length, then the content (protobuf's wire type 2). */
function field(number: number, content: Uint8Array[]): Uint8Array[] {
  return [new BinaryWriter().tag(number, WireType.LengthDelimited).uint32(lengthOf(content)).finish(), ...content];
}

function lengthOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((length, part) => length + part.length, 0);
}

/**
 * Reads the bytes of an .onnx file.
 * @param path named in errors
 * @throws {LastlayerError} if the bytes are not an ONNX model, or its weights are in other files
 */
export function decodeModel(bytes: Uint8Array, path: string): ModelProto {
  const model = decodeGraph(bytes, path);
  for (const tensor of tensorsOf(model)) {
    if (isExternal(tensor)) throw new LastlayerError(`${path} keeps the weights of ${tensor.name} in another file.`);
  }
  return model;
}

/** As {@link decodeModel}, but weights may be in other files. */
export function decodeGraph(bytes: Uint8Array, path: string): ModelProto {
  const model = parse(bytes, path);
  graphOf(model, path);
  return model;
}

function parse(bytes: Uint8Array, path: string): ModelProto {
  try {
    return fromBinary(ModelProtoSchema, bytes);
  } catch (error) {
    const kind = otherKind(bytes, 'model');
    throw new LastlayerError(
      kind === undefined
        ? `${path} is not an ONNX model, or not the whole of one: ${messageOf(error)}. Get the file again.`
        : `${path} is not a model. It is ${kind}.`,
    );
  }
}

/** The graph of a model. @throws {LastlayerError} if there is none */
export function graphOf(model: ModelProto, path: string): GraphProto {
  if (!model.graph || model.graph.node.length === 0) {
    throw new LastlayerError(
      `${path} is not an ONNX model, or not the whole of one: it holds no graph. Get the file again.`,
    );
  }
  return model.graph;
}

/** Whether a constant's values are in another file. */
export function isExternal({ externalData, dataLocation }: TensorProto): boolean {
  return externalData.length > 0 || dataLocation === DataLocation.EXTERNAL;
}

/** Every constant, wherever in the model it is. */
export function* tensorsOf({ graph, functions, trainingInfo }: ModelProto): Generator<TensorProto> {
  const training = trainingInfo.flatMap(({ initialization, algorithm }) => [initialization, algorithm]);
  for (const each of [graph, ...training]) if (each) yield* tensorsInGraph(each);
  for (const { node } of functions) yield* tensorsInNodes(node);
}

function* tensorsInGraph({ initializer, sparseInitializer, node }: GraphProto): Generator<TensorProto> {
  yield* initializer;
  for (const sparse of sparseInitializer) yield* tensorsInSparse(sparse);
  yield* tensorsInNodes(node);
}

function* tensorsInNodes(nodes: readonly NodeProto[]): Generator<TensorProto> {
  for (const node of nodes) {
    for (const { t, tensors, sparseTensor, sparseTensors } of node.attribute) {
      if (t) yield t;
      yield* tensors;
      for (const sparse of [sparseTensor, ...sparseTensors]) if (sparse) yield* tensorsInSparse(sparse);
    }
    for (const graph of subgraphsOf(node)) yield* tensorsInGraph(graph);
  }
}

function* tensorsInSparse({ values, indices }: SparseTensorProto): Generator<TensorProto> {
  if (values) yield values;
  if (indices) yield indices;
}

/** The graphs inside a control-flow operator (If, Loop, Scan). */
export function subgraphsOf({ attribute }: NodeProto): GraphProto[] {
  return attribute.flatMap(({ g, graphs }) => (g ? [g, ...graphs] : graphs));
}

/** The same model with one entry of its metadata set. */
export function withMetadata(model: ModelProto, key: string, value: string): ModelProto {
  const others = model.metadataProps.filter((entry) => entry.key !== key);
  return { ...model, metadataProps: [...others, create(StringStringEntryProtoSchema, { key, value })] };
}

/** One entry of a model's metadata; undefined if there is none. */
export function metadataOf({ metadataProps }: ModelProto, key: string): string | undefined {
  return metadataProps.find((entry) => entry.key === key)?.value;
}

/** The version of the default operator set that a model needs; 0 if it does not say. */
export function opsetOf({ opsetImport }: ModelProto): number {
  return Number(opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version ?? 0);
}

/**
 * Height and width of a model's picture input. If only one of them is fixed, the other is taken to be the same; undefined
 * where both are dynamic.
 * @throws {LastlayerError} as {@link pictureInput} does
 */
export function inputSize(model: ModelProto, path: string): { height: number; width: number } | undefined {
  const dimensions = dimensionsOf(pictureInput(graphOf(model, path), path)) ?? [];
  const [height, width] = dimensions.slice(2).map((side) => (typeof side === 'number' ? side : undefined));
  const [one, other] = [height ?? width, width ?? height];
  return one === undefined || other === undefined ? undefined : { height: one, width: other };
}

/** The width of an output [N, width]; undefined if there is no such output, or it does not declare its width. */
export function outputWidth(model: ModelProto, output: string): number | undefined {
  const info = model.graph?.output.find(({ name }) => name === output);
  const width = info && dimensionsOf(info)?.[1];
  return typeof width === 'number' ? width : undefined;
}

/**
 * The model's only input, a picture: float32 [N, 3, H, W].
 * @throws {LastlayerError} if it is something else, or there are several
 */
export function pictureInput(graph: GraphProto, path: string): ValueInfoProto {
  const inputs = inputsOfGraph(graph);
  const [input] = inputs;
  if (!input || inputs.length > 1) {
    const names = inputs.map(({ name }) => name).join(', ');
    throw new LastlayerError(
      `${path} takes ${inputs.length} inputs (${names}) where one picture is expected, float32 [N, 3, height, width]. Export ` +
        'the part that takes the picture alone.',
    );
  }
  const shape = dimensionsOf(input);
  const type = elementTypeOf(input);
  const channels = shape?.[1];
  if (type !== DataType.FLOAT || shape?.length !== 4 || (typeof channels === 'number' && channels !== 3)) {
    throw new LastlayerError(
      `${path}: its input ${input.name} is ${DataType[type ?? 0] ?? 'unknown'} [${shape?.join(', ') ?? 'no shape'}] where ` +
        `float32 [N, 3, height, width] is expected. Export the model with such an input.`,
    );
  }
  return input;
}

/** A graph's inputs. Models from before 2019 list their constants among them; these are left out. */
export function inputsOfGraph(graph: GraphProto): ValueInfoProto[] {
  const constants = new Set(graph.initializer.map(({ name }) => name));
  return graph.input.filter(({ name }) => !constants.has(name));
}

/**
 * How many pictures the model takes at a time; the dimension's name if that is dynamic.
 * @throws {LastlayerError} as {@link pictureInput} does
 */
export function batchOf(model: ModelProto, path: string): number | string {
  return dimensionsOf(pictureInput(graphOf(model, path), path))?.[0] ?? '?';
}

/** A tensor's element type, a DataType of ONNX; undefined if none is declared. */
export function elementTypeOf({ type }: ValueInfoProto): number | undefined {
  return type?.value.case === 'tensorType' ? type.value.value.elemType : undefined;
}

/** A tensor's dimensions, dynamic ones by their name; undefined if none are declared. */
export function dimensionsOf(info: ValueInfoProto): (number | string)[] | undefined {
  if (info.type?.value.case !== 'tensorType') return undefined;
  return info.type.value.value.shape?.dim.map(({ value }) =>
    value.case === 'dimValue' ? Number(value.value) : (value.value ?? '?'),
  );
}

// Constants are initializers or the results of Constant nodes.

const FLOAT: number = DataType.FLOAT;
const INT64: number = DataType.INT64;

/** The values of a constant int64 tensor; undefined if there is no such constant. */
export function constantInts(name: string, graph: GraphProto): number[] | undefined {
  const tensor = constantTensor(name, graph);
  if (tensor) return intsOf(tensor);
  return constantNode(name, graph)
    ?.attribute.find((each) => each.name === 'value_ints')
    ?.ints.map(Number);
}

function intsOf({ dataType, rawData, int64Data }: TensorProto): number[] | undefined {
  if (dataType !== INT64) return undefined;
  if (int64Data.length > 0) return int64Data.map(Number);
  const view = new DataView(rawData.buffer, rawData.byteOffset, rawData.byteLength);
  return Array.from({ length: Math.floor(rawData.byteLength / 8) }, (_, i) => Number(view.getBigInt64(8 * i, true)));
}

/** The shape of a constant tensor; undefined if there is no such constant. */
export function constantShape(name: string, graph: GraphProto): number[] | undefined {
  return constantTensor(name, graph)?.dims.map(Number);
}

/** Whether a tensor is a constant, in float32. */
export function isConstantFloat32(name: string, graph: GraphProto): boolean {
  return constantTensor(name, graph)?.dataType === FLOAT;
}

/** Shape and values of a constant float32 tensor; undefined if there is no such constant. */
export function constantFloats(name: string, graph: GraphProto): { shape: number[]; values: Float32Array } | undefined {
  const tensor = constantTensor(name, graph);
  if (tensor?.dataType !== FLOAT) return undefined;
  const { dims, floatData, rawData } = tensor;
  if (rawData.length % Float32Array.BYTES_PER_ELEMENT !== 0) return undefined;
  // A copy is aligned, wherever in the file the bytes lie.
  const values = floatData.length > 0 ? Float32Array.from(floatData) : new Float32Array(new Uint8Array(rawData).buffer);
  return { shape: dims.map(Number), values };
}

function constantTensor(name: string, graph: GraphProto): TensorProto | undefined {
  return (
    graph.initializer.find((tensor) => tensor.name === name) ??
    constantNode(name, graph)?.attribute.find((each) => each.name === 'value')?.t
  );
}

function constantNode(name: string, graph: GraphProto): NodeProto | undefined {
  return graph.node.find(({ opType, output }) => opType === 'Constant' && output[0] === name);
}
