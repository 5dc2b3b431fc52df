import {
  constantFloats,
  floatTensor,
  graphOf,
  integerTensor,
  node,
  withMetadata,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
} from '../../onnx/index.js';
import { integerValues, isIntegerOperator } from './integer-values.js';
import type { Activation } from './observe.js';
import { percentileRange, roundingOf, type Rounding } from './range.js';
import { quantizeWeights } from './weights.js';

/**
 * Writes a network so that onnxruntime computes it in integers. Every activation of {@link integerValues} passes through
 * QuantizeLinear and DequantizeLinear (uint8), every convolution reads its weights (int8) and bias (int32) through
 * DequantizeLinear; onnxruntime merges each operator with what stands around it into one integer kernel. The rest, and
 * so the output `embedding`, stays float32.
 * @param activations what was seen of the activations of {@link integerValues}
 * @param name the new model's name
 */
export function quantizeGraph(
  model: ModelProto,
  source: string,
  activations: ReadonlyMap<string, Activation>,
  name: string,
): ModelProto {
  const graph = graphOf(model, source);
  const writer = new Writer(graph, activations);
  for (const { name: input } of graph.input) writer.round(input);
  for (const operator of graph.node) writer.add(operator);
  return withMetadata({ ...model, graph: writer.result }, 'name', name);
}

/** Goes through a network in the order of its operators and writes the quantised one. */
class Writer {
  private readonly nodes: NodeProto[] = [];
  private readonly constants: TensorProto[] = [];
  private readonly roundings = new Map<string, Rounding>();

  constructor(
    private readonly graph: GraphProto,
    private readonly activations: ReadonlyMap<string, Activation>,
  ) {
    for (const [name, ranged] of integerValues(graph)) {
      const activation = activations.get(ranged);
      if (activation) this.roundings.set(name, roundingOf(percentileRange(activation.histogram)));
    }
  }

  /** The quantised graph, without the constants that nothing reads any more. */
  get result(): GraphProto {
    const read = new Set(this.nodes.flatMap(({ input }) => input));
    const initializer = [...this.graph.initializer, ...this.constants].filter(({ name }) => read.has(name));
    return { ...this.graph, node: this.nodes, initializer };
  }

  /** Writes an operator, which reads rounded activations where there are such, and rounds what it gives. */
  add(operator: NodeProto): void {
    const input = operator.input.map((name) => (this.roundings.has(name) ? dequantized(name) : name));
    const weights = this.integerWeights(operator);
    this.nodes.push({ ...operator, input: weights ? [...input.slice(0, 1), ...weights] : input });
    for (const name of operator.output) this.round(name);
  }

  /** Rounds an activation, if it is one of those. */
  round(name: string): void {
    const rounding = this.roundings.get(name);
    if (!rounding) return;
    const parameters = [`${name}.scale`, `${name}.zero_point`];
    this.constants.push(
      floatTensor(`${name}.scale`, [], Float32Array.of(rounding.scale)),
      integerTensor(`${name}.zero_point`, [], Uint8Array.of(rounding.zeroPoint)),
    );
    const quantized = `${name}.quantized`;
    this.nodes.push(
      node('QuantizeLinear', [name, ...parameters], [quantized], {}, `${name}.quantize`),
      node('DequantizeLinear', [quantized, ...parameters], [dequantized(name)], {}, `${name}.dequantize`),
    );
  }

  /** Writes the weights and bias of a convolution and gives their names; undefined where it stays float32. */
  private integerWeights(operator: NodeProto): [weight: string, bias: string] | undefined {
    if (operator.opType !== 'Conv') return undefined;
    const [input = '', weightName = '', biasName = ''] = operator.input;
    const [rounding, activation] = [this.roundings.get(input), this.activations.get(input)];
    const weight = constantFloats(weightName, this.graph);
    if (!rounding || !activation || !weight || !isIntegerOperator(operator, this.graph)) return undefined;
    const [outputs = 0] = weight.shape;
    const bias = constantFloats(biasName, this.graph)?.values ?? new Float32Array(outputs);
    const { scales, ...integers } = quantizeWeights(
      { shape: weight.shape, weight: weight.values, bias },
      rounding.scale,
      activation.channelMeans,
    );
    // Named after the convolution, as two of them may share weights but not the scale of their input.
    const own = operator.output[0] ?? '';
    const products = scales.map((scale) => rounding.scale * scale);
    return [
      this.dequantize(`${own}.weight`, weight.shape, integers.weight, scales),
      this.dequantize(`${own}.bias`, [outputs], integers.bias, products),
    ];
  }

  /** Writes a constant of integers with a scale for each entry of its first axis; gives the name of its real values. */
  private dequantize(
    name: string,
    shape: number[],
    values: Int8Array | Int32Array,
    scales: Float32Array,
  ): string {
    const channels = [scales.length];
    // All zero, which is what leaving them out means too; but not all of onnxruntime's rewriting copes with that.
    const zeroPoints =
      values instanceof Int8Array ? new Int8Array(scales.length) : new Int32Array(scales.length);
    const parameters = [`${name}.scale`, `${name}.zero_point`] as const;
    this.constants.push(
      integerTensor(name, shape, values),
      floatTensor(parameters[0], channels, scales),
      integerTensor(parameters[1], channels, zeroPoints),
    );
    this.nodes.push(
      node('DequantizeLinear', [name, ...parameters], [dequantized(name)], { axis: 0 }, `${name}.dequantize`),
    );
    return dequantized(name);
  }
}

function dequantized(name: string): string {
  return `${name}.dequantized`;
}
