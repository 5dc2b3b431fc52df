import {
  TensorProto_DataType as DataType,
  type GraphProto,
  type NodeProto,
  type TensorProto,
} from 'onnx-buf';

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
