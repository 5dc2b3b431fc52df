import {
  TensorProto_DataType as DataType,
  type GraphProto,
  type NodeProto,
  type TensorProto,
} from 'onnx-buf';

const INT64: number = DataType.INT64;

/** The values of a constant int64 tensor, be it an initializer or a Constant node; undefined where it is neither. */
export function constantInts(name: string, graph: GraphProto): number[] | undefined {
  const initializer = graph.initializer.find((tensor) => tensor.name === name);
  if (initializer) return intsOf(initializer);
  const constant = graph.node.find(({ opType, output }) => opType === 'Constant' && output[0] === name);
  for (const attribute of constant?.attribute ?? []) {
    if (attribute.name === 'value' && attribute.t) return intsOf(attribute.t);
    if (attribute.name === 'value_ints') return attribute.ints.map(Number);
  }
  return undefined;
}

/** The graphs that a control-flow node (If, Loop, Scan) holds. */
export function subgraphsOf({ attribute }: NodeProto): GraphProto[] {
  return attribute.flatMap(({ g, graphs }) => (g ? [g, ...graphs] : graphs));
}

function intsOf({ dataType, rawData, int64Data }: TensorProto): number[] | undefined {
  if (dataType !== INT64) return undefined;
  if (int64Data.length > 0) return int64Data.map(Number);
  const view = new DataView(rawData.buffer, rawData.byteOffset, rawData.byteLength);
  return Array.from({ length: Math.floor(rawData.byteLength / 8) }, (_, i) =>
    Number(view.getBigInt64(8 * i, true)),
  );
}
