import {
  TensorProto_DataLocation as DataLocation,
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
} from 'onnx-buf';

/** A tensor of which the values are in another file, wherever in the model it is; undefined where there is none. */
export function externalTensor({ graph, functions, trainingInfo }: ModelProto): TensorProto | undefined {
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
