import { create } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProto_DataType as DataType,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from 'onnx-buf';

/** IR version 8 with opset 17: read by every onnxruntime since 1.12 (2022), and all that our graphs need. */
const IR_VERSION = 8n;
const OPSET = 17n;

const ELEMENT_TYPES = {
  float32: DataType.FLOAT,
  int64: DataType.INT64,
  uint8: DataType.UINT8,
  bool: DataType.BOOL,
};

/** An attribute's value: whole numbers become INT or INTS; a FLOAT is written `{ float: 0.5 }`. */
type AttributeValue = number | number[] | string | { float: number };

/** The parts of a graph. Inputs and outputs are made by `tensorInfo`. */
interface GraphParts {
  name: string;
  nodes: NodeProto[];
  initializers: TensorProto[];
  inputs: ValueInfoProto[];
  outputs: ValueInfoProto[];
  /** Pairs for the model's metadata. */
  metadata?: Record<string, string> | undefined;
}

/** A whole model with one graph in the default operator domain. */
export function model(parts: GraphParts): ModelProto {
  return create(ModelProtoSchema, {
    irVersion: IR_VERSION,
    opsetImport: [{ domain: '', version: OPSET }],
    producerName: 'lastlayer',
    graph: create(GraphProtoSchema, {
      name: parts.name,
      node: parts.nodes,
      initializer: parts.initializers,
      input: parts.inputs,
      output: parts.outputs,
    }),
    metadataProps: Object.entries(parts.metadata ?? {}).map(([key, value]) => ({ key, value })),
  });
}

/** One operator of the default domain, e.g. `node('Gemm', ['x', 'w', 'b'], ['y'], { transB: 1 })`. */
export function node(
  opType: string,
  inputs: string[],
  outputs: string[],
  attributes: Record<string, AttributeValue> = {},
  name = '',
): NodeProto {
  const attribute = Object.entries(attributes).map(([key, value]) => toAttribute(key, value));
  return create(NodeProtoSchema, { opType, input: inputs, output: outputs, name, attribute });
}

/** A float32 constant of the given shape; its values are stored little-endian, as ONNX prescribes. */
export function floatTensor(name: string, shape: number[], values: Float32Array): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dataType: DataType.FLOAT,
    dims: shape.map(BigInt),
    rawData: new Uint8Array(values.slice().buffer),
  });
}

/** A constant of whole numbers, whose element type is that of the array; shape [] makes a scalar. */
export function integerTensor(
  name: string,
  shape: number[],
  values: Int8Array | Uint8Array | Int32Array,
): TensorProto {
  const dataType =
    values instanceof Int8Array
      ? DataType.INT8
      : values instanceof Uint8Array
        ? DataType.UINT8
        : DataType.INT32;
  return create(TensorProtoSchema, {
    name,
    dataType,
    dims: shape.map(BigInt),
    rawData: new Uint8Array(values.slice().buffer),
  });
}

/** An int64 constant; shape [] makes a scalar. */
export function intTensor(name: string, shape: number[], values: number[]): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dataType: DataType.INT64,
    dims: shape.map(BigInt),
    rawData: new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
  });
}

/** Name, element type and shape of a graph's input or output; a string stands for a dynamic dimension. */
export function tensorInfo(
  name: string,
  shape: (number | string)[],
  elementType: keyof typeof ELEMENT_TYPES = 'float32',
): ValueInfoProto {
  const dim = shape.map((d) =>
    typeof d === 'string'
      ? { value: { case: 'dimParam' as const, value: d } }
      : { value: { case: 'dimValue' as const, value: BigInt(d) } },
  );
  const elemType = ELEMENT_TYPES[elementType];
  return create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: 'tensorType', value: { elemType, shape: { dim } } } },
  });
}

function toAttribute(name: string, value: AttributeValue): AttributeProto {
  if (typeof value === 'number') {
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  }
  if (typeof value === 'string') {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.STRING,
      s: Uint8Array.from(Buffer.from(value)),
    });
  }
  if (Array.isArray(value)) {
    return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
  }
  return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
}

const FLOAT: number = DataType.FLOAT;
const INT64: number = DataType.INT64;

/** The values of a constant int64 tensor, be it an initializer or a Constant node; undefined where it is neither. */
export function constantInts(name: string, graph: GraphProto): number[] | undefined {
  const tensor = constantTensor(name, graph);
  if (tensor) return intsOf(tensor);
  return constantNode(name, graph)
    ?.attribute.find((each) => each.name === 'value_ints')
    ?.ints.map(Number);
}

/** The shape of a constant tensor, be it an initializer or a Constant node; undefined where it is neither. */
export function constantShape(name: string, graph: GraphProto): number[] | undefined {
  return constantTensor(name, graph)?.dims.map(Number);
}

/** A constant float32 tensor, be it an initializer or a Constant node; undefined where it is neither. */
export function constantFloats(
  name: string,
  graph: GraphProto,
): { shape: number[]; values: Float32Array } | undefined {
  const tensor = constantTensor(name, graph);
  if (tensor?.dataType !== FLOAT) return undefined;
  const { dims, floatData, rawData } = tensor;
  if (rawData.length % Float32Array.BYTES_PER_ELEMENT !== 0) return undefined;
  // Copied, because the bytes of a file begin wherever they happen to.
  const values =
    floatData.length > 0 ? Float32Array.from(floatData) : new Float32Array(new Uint8Array(rawData).buffer);
  return { shape: dims.map(Number), values };
}

/** The graphs that a control-flow node (If, Loop, Scan) holds. */
export function subgraphsOf({ attribute }: NodeProto): GraphProto[] {
  return attribute.flatMap(({ g, graphs }) => (g ? [g, ...graphs] : graphs));
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

function intsOf({ dataType, rawData, int64Data }: TensorProto): number[] | undefined {
  if (dataType !== INT64) return undefined;
  if (int64Data.length > 0) return int64Data.map(Number);
  const view = new DataView(rawData.buffer, rawData.byteOffset, rawData.byteLength);
  return Array.from({ length: Math.floor(rawData.byteLength / 8) }, (_, i) =>
    Number(view.getBigInt64(8 * i, true)),
  );
}
