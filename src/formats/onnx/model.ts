import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type ValueInfoProto,
} from 'onnx-buf';
import { LastlayerError, messageOf } from '../../util/errors.js';

/** The bytes of a model, as an .onnx file holds them. The same model always gives the same bytes. */
export function encodeModel(model: ModelProto): Uint8Array {
  return toBinary(ModelProtoSchema, model);
}

/**
 * Reads an .onnx file's bytes.
 * @param path named in errors
 * @throws {LastlayerError} where the bytes are no ONNX model, or keep their weights in other files
 */
export function decodeModel(bytes: Uint8Array, path: string): ModelProto {
  const model = parse(bytes, path);
  graphOf(model, path);
  const external = externalTensor(model);
  if (external) {
    throw new LastlayerError(
      `${path} keeps the weights of ${external.name} in another file, which is not read. Save it as one file ` +
        `(onnx.save_model(model, path, save_as_external_data=False)) and try again.`,
    );
  }
  return model;
}

/** The graph of a model. @throws {LastlayerError} where there is none */
export function graphOf(model: ModelProto, path: string): GraphProto {
  if (!model.graph || model.graph.node.length === 0) {
    throw new LastlayerError(`${path} is not an ONNX model: it holds no graph.`);
  }
  return model.graph;
}

function parse(bytes: Uint8Array, path: string): ModelProto {
  try {
    return fromBinary(ModelProtoSchema, bytes);
  } catch (error) {
    throw new LastlayerError(`${path} is not an ONNX model: ${messageOf(error)}.`);
  }
}

/** The same model with an entry of its metadata set. */
export function withMetadata(model: ModelProto, key: string, value: string): ModelProto {
  const others = model.metadataProps.filter((entry) => entry.key !== key);
  return { ...model, metadataProps: [...others, create(StringStringEntryProtoSchema, { key, value })] };
}

/** An entry of a model's metadata; undefined where there is none of that key. */
export function metadataOf({ metadataProps }: ModelProto, key: string): string | undefined {
  return metadataProps.find((entry) => entry.key === key)?.value;
}

/** The version of the default operator set that a model is written for; 0 where it says none. */
export function opsetOf({ opsetImport }: ModelProto): number {
  return Number(opsetImport.find(({ domain }) => domain === '' || domain === 'ai.onnx')?.version ?? 0);
}

/**
 * The height and width that a network's picture input prescribes; a dynamic one is as the other, and undefined where both are.
 * @throws {LastlayerError} as {@link pictureInput} does
 */
export function inputSize(model: ModelProto, path: string): { height: number; width: number } | undefined {
  const dimensions = dimensionsOf(pictureInput(graphOf(model, path), path)) ?? [];
  const [height, width] = dimensions.slice(2).map((side) => (typeof side === 'number' ? side : undefined));
  const [one, other] = [height ?? width, width ?? height];
  return one === undefined || other === undefined ? undefined : { height: one, width: other };
}

/** The width of an output [N, width]; undefined where there is no such output, or its width is not declared. */
export function outputWidth(model: ModelProto, output: string): number | undefined {
  const info = model.graph?.output.find(({ name }) => name === output);
  const width = info && dimensionsOf(info)?.[1];
  return typeof width === 'number' ? width : undefined;
}

/**
 * The one input that is a picture: float32 [N, 3, H, W].
 * @throws {LastlayerError} where there is none, or more inputs than it
 */
export function pictureInput(graph: GraphProto, path: string): ValueInfoProto {
  const constants = new Set(graph.initializer.map(({ name }) => name));
  const inputs = graph.input.filter(({ name }) => !constants.has(name));
  const [input] = inputs;
  if (!input || inputs.length > 1) {
    const names = inputs.map(({ name }) => name).join(', ');
    throw new LastlayerError(
      `${path} takes ${inputs.length} inputs (${names}) where one picture is expected.`,
    );
  }
  const shape = dimensionsOf(input);
  const type = input.type?.value.case === 'tensorType' ? input.type.value.value.elemType : undefined;
  const channels = shape?.[1];
  if (type !== DataType.FLOAT || shape?.length !== 4 || (typeof channels === 'number' && channels !== 3)) {
    throw new LastlayerError(
      `${path}: its input ${input.name} is ${DataType[type ?? 0] ?? 'unknown'} [${shape?.join(', ') ?? 'no shape'}] where ` +
        `float32 [N, 3, height, width] is expected. Export the network with such an input.`,
    );
  }
  return input;
}

/** A tensor's dimensions, dynamic ones by their name; undefined where none are declared. */
export function dimensionsOf(info: ValueInfoProto): (number | string)[] | undefined {
  if (info.type?.value.case !== 'tensorType') return undefined;
  return info.type.value.value.shape?.dim.map(({ value }) =>
    value.case === 'dimValue' ? Number(value.value) : (value.value ?? '?'),
  );
}

/** A tensor of which the values are in another file, wherever in the model it is; undefined where there is none. */
function externalTensor({ graph, functions, trainingInfo }: ModelProto): TensorProto | undefined {
  const training = trainingInfo.flatMap(({ initialization, algorithm }) => [initialization, algorithm]);
  for (const each of [graph, ...training]) {
    const found = each && inGraph(each);
    if (found) return found;
  }
  return firstOf(functions, ({ node }) => firstOf(node, inNode));
}

function inGraph({ initializer, sparseInitializer, node }: GraphProto): TensorProto | undefined {
  const sparse = sparseInitializer.flatMap(({ values, indices }) => [values, indices]);
  return firstOf([...initializer, ...sparse], ifExternal) ?? firstOf(node, inNode);
}

function inNode({ attribute }: NodeProto): TensorProto | undefined {
  return firstOf(attribute, inAttribute);
}

function inAttribute({ t, tensors, sparseTensor, sparseTensors, g, graphs }: AttributeProto) {
  const sparse = [sparseTensor, ...sparseTensors].flatMap((each) => [each?.values, each?.indices]);
  return (
    firstOf([t, ...tensors, ...sparse], ifExternal) ??
    firstOf([g, ...graphs], (graph) => graph && inGraph(graph))
  );
}

function ifExternal(tensor: TensorProto | undefined): TensorProto | undefined {
  if (!tensor) return undefined;
  return tensor.externalData.length > 0 || tensor.dataLocation === DataLocation.EXTERNAL ? tensor : undefined;
}

/** The first result that is one. */
function firstOf<T, R>(values: readonly T[], find: (value: T) => R | undefined): R | undefined {
  for (const value of values) {
    const found = find(value);
    if (found !== undefined) return found;
  }
  return undefined;
}
