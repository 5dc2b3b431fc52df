import { constantShape, type GraphProto, type NodeProto } from '../../onnx/index.js';

/**
 * Finds what of a network can be computed in integers: convolutions with constant weights, the maximum pooling and the
 * additions of two activations, each with the Relu or Clip behind it, which onnxruntime merges into the rounding. All
 * other operators stay as they are, in float32.
 * @returns the activations that are to be quantised: the inputs and results of these operators. Each is mapped to the
 *   activation whose range it takes: its own, but for the result of a maximum pooling, which has its input's values
 */
export function integerValues(graph: GraphProto): Map<string, string> {
  const outputs = new Set(graph.output.map(({ name }) => name));
  const ranges = new Map<string, string>();
  for (const operator of graph.node.filter((each) => isIntegerOperator(each, graph))) {
    const result = resultOf(operator, graph);
    if (outputs.has(result)) continue;
    const inputs = activationsOf(operator);
    for (const name of inputs) if (!ranges.has(name)) ranges.set(name, name);
    const [input = ''] = inputs;
    ranges.set(result, operator.opType === 'MaxPool' ? (ranges.get(input) ?? input) : result);
  }
  return ranges;
}

/** Whether the operator can be computed in integers. */
export function isIntegerOperator({ opType, input, output }: NodeProto, graph: GraphProto): boolean {
  const [first = '', second = '', third = ''] = input;
  if (opType === 'Conv') {
    const constant = constantShape(second, graph)?.length === 4;
    return constant && (third === '' || constantShape(third, graph) !== undefined);
  }
  if (opType === 'Add') return ![first, second].some((name) => constantShape(name, graph));
  return opType === 'MaxPool' && output.length === 1;
}

/** The operator's inputs that are no weights. */
function activationsOf({ opType, input }: NodeProto): string[] {
  return opType === 'Add' ? input : input.slice(0, 1);
}

/** What comes out behind the activation function, where nothing else reads what goes into it. */
function resultOf({ output }: NodeProto, graph: GraphProto): string {
  const [own = ''] = output;
  const readers = graph.node.filter(({ input }) => input.includes(own));
  const [reader] = readers;
  const merges = readers.length === 1 && (reader?.opType === 'Relu' || reader?.opType === 'Clip');
  return merges ? (reader.output[0] ?? own) : own;
}
