import { create } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
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

/** IR version 8 with opset 17: enough for our graphs, and supported since onnxruntime 1.12 (2022). */
const IR_VERSION = 8n;
const OPSET = 17n;

const ELEMENT_TYPES = {
  float32: DataType.FLOAT,
  int64: DataType.INT64,
  uint8: DataType.UINT8,
  bool: DataType.BOOL,
  float16: DataType.FLOAT16,
};

interface GraphParts {
  name: string;
  nodes: NodeProto[];
  /** Made by {@link initializer}. */
  initializers: TensorProto[];
  /** Made by {@link tensorInfo}. */
  inputs: ValueInfoProto[];
  outputs: ValueInfoProto[];
  /** The model's metadata. */
  metadata?: Record<string, string> | undefined;
}

/** A model with one graph of operators of the default domain. */
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

/** An attribute's value: whole numbers become INT or INTS; a FLOAT is written `{ float: 0.5 }`. */
type AttributeValue = number | number[] | string | { float: number };

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

function toAttribute(name: string, value: AttributeValue): AttributeProto {
  if (typeof value === 'number') {
    return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) });
  }
  if (typeof value === 'string') {
    const s = Uint8Array.from(Buffer.from(value));
    return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s });
  }
  if (Array.isArray(value)) {
    return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
  }
  return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
}

/**
 * A constant. The type of the array decides its element type; plain numbers become int64.
 * @param shape `[]` makes a scalar
 */
export function initializer(
  name: string,
  shape: number[],
  values: Float32Array | Int8Array | Uint8Array | Int32Array | number[],
): TensorProto {
  const array = Array.isArray(values) ? BigInt64Array.from(values, BigInt) : values.slice();
  return create(TensorProtoSchema, {
    name,
    dataType: dataTypeOf(array),
    dims: shape.map(BigInt),
    rawData: new Uint8Array(array.buffer),
  });
}

function dataTypeOf(array: ArrayBufferView): DataType {
  if (array instanceof Float32Array) return DataType.FLOAT;
  if (array instanceof Int8Array) return DataType.INT8;
  if (array instanceof Uint8Array) return DataType.UINT8;
  return array instanceof Int32Array ? DataType.INT32 : DataType.INT64;
}

/** Name, element type and shape of a graph's input or output. A string stands for a dynamic dimension. */
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
