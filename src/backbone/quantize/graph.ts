import type { GraphProto, ModelProto, NodeProto, TensorProto } from 'onnx-buf';
import { initializer, node } from '../../formats/onnx/build.js';
import { freeNames } from '../../formats/onnx/edit.js';
import { constantFloats, constantShape, graphOf, isConstantFloat32, withMetadata } from '../../formats/onnx/model.js';
import { type Activation, percentileRange, type Rounding, roundingOf } from './calibration.js';

/**
 * Rewrites a model so that onnxruntime computes it in integers. Every activation of {@link integerActivations} passes through
 * QuantizeLinear and DequantizeLinear (uint8), and every convolution reads its weights (int8) and bias (int32) through
 * DequantizeLinear. onnxruntime merges each operator with those around it into one integer kernel. The rest, including the
 * output `embedding`, stays float32.
 * @param activations statistics of the {@link integerActivations}
 * @param name of the new model
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

/** Writes the quantised graph, operator by operator. */
class Writer {
  private readonly nodes: NodeProto[] = [];
  private readonly constants: TensorProto[] = [];
  private readonly roundings = new Map<string, Rounding>();
  /** The name of each activation after rounding. */
  private readonly rounded = new Map<string, string>();
  private readonly freeName: (wanted: string) => string;

  constructor(
    private readonly graph: GraphProto,
    private readonly activations: ReadonlyMap<string, Activation>,
  ) {
    this.freeName = freeNames(graph);
    for (const [name, ranged] of integerActivations(graph)) {
      const activation = activations.get(ranged);
      if (activation) this.roundings.set(name, roundingOf(percentileRange(activation.histogram)));
    }
  }

  /** The quantised graph, without constants that are no longer read. */
  get result(): GraphProto {
    const read = new Set(this.nodes.flatMap(({ input }) => input));
    const initializer = [...this.graph.initializer, ...this.constants].filter(({ name }) => read.has(name));
    return { ...this.graph, node: this.nodes, initializer };
  }

  /** Writes an operator, which reads rounded activations if there are any, and rounds its results. */
  add(operator: NodeProto): void {
    const input = operator.input.map((name) => this.rounded.get(name) ?? name);
    const weights = this.integerWeights(operator);
    this.nodes.push({ ...operator, input: weights ? [...input.slice(0, 1), ...weights] : input });
    for (const name of operator.output) this.round(name);
  }

  /** Rounds an activation, if it is to be computed in integers. */
  round(name: string): void {
    const rounding = this.roundings.get(name);
    if (!rounding) return;
    const parameters = this.parametersOf(name);
    this.constants.push(
      initializer(parameters[0], [], Float32Array.of(rounding.scale)),
      initializer(parameters[1], [], Uint8Array.of(rounding.zeroPoint)),
    );
    const quantized = this.freeName(`${name}.quantized`);
    const dequantized = this.freeName(`${name}.dequantized`);
    this.nodes.push(
      node('QuantizeLinear', [name, ...parameters], [quantized], {}, this.freeName(`${name}.quantize`)),
      node('DequantizeLinear', [quantized, ...parameters], [dequantized], {}, this.freeName(`${name}.dequantize`)),
    );
    this.rounded.set(name, dequantized);
  }

  /** Names for the scale and the zero point of a tensor. */
  private parametersOf(name: string): [scale: string, zeroPoint: string] {
    return [this.freeName(`${name}.scale`), this.freeName(`${name}.zero_point`)];
  }

  /** Writes the weights and bias of a convolution and returns their names; undefined if it stays float32. */
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
    // Named after the convolution: two convolutions may share weights, but not the scale of their input.
    const own = operator.output[0] ?? '';
    const products = scales.map((scale) => rounding.scale * scale);
    return [
      this.dequantize(`${own}.weight`, weight.shape, integers.weight, scales),
      this.dequantize(`${own}.bias`, [outputs], integers.bias, products),
    ];
  }

  /** Writes an integer constant with a scale for each entry of its first axis. Returns the name of its real values. */
  private dequantize(
    wantedName: string,
    shape: number[],
    values: Int8Array | Int32Array,
    scales: Float32Array,
  ): string {
    const name = this.freeName(wantedName);
    const channels = [scales.length];
    // All zero, which is the default, but some of onnxruntime's optimisations need them to be there.
    const zeroPoints = values instanceof Int8Array ? new Int8Array(scales.length) : new Int32Array(scales.length);
    const parameters = this.parametersOf(name);
    this.constants.push(
      initializer(name, shape, values),
      initializer(parameters[0], channels, scales),
      initializer(parameters[1], channels, zeroPoints),
    );
    const dequantized = this.freeName(`${name}.dequantized`);
    this.nodes.push(
      node('DequantizeLinear', [name, ...parameters], [dequantized], { axis: 0 }, this.freeName(`${name}.dequantize`)),
    );
    return dequantized;
  }
}

/** Weights are from −127 to 127: without −128, the range is symmetric about zero. */
const LEVELS = 127;

/** A bias must fit into an int32. Half of its range leaves room for the sum. */
const LARGEST_BIAS = 2 ** 30;

/** The float32 weights of a convolution. */
interface ConvolutionWeights {
  /** [outputs, inputs / groups, height, width] */
  shape: readonly number[];
  weight: Float32Array;
  /** [outputs] */
  bias: Float32Array;
}

/** The same as integers: weight ≈ scale · int8, bias ≈ inputScale · scale · int32. */
interface IntegerWeights {
  weight: Int8Array;
  bias: Int32Array;
  /** [outputs] */
  scales: Float32Array;
}

/**
 * Rounds a convolution's weights to int8, symmetrically and with a scale for each output channel, and its bias to int32 with the
 * scale of the products, input scale × weight scale (Jacob et al. 2018, "Quantization and training of neural networks for
 * efficient integer-arithmetic-only inference", section 2.4).
 *
 * The mean error that the rounding of the weights adds to a channel, Σ (ŵ − w) · E[x], is subtracted from its bias (Nagel et al.
 * 2019, "Data-free quantization through weight equalization and bias correction", section 4.2). Measured on a ResNet-18 with
 * features of natural pictures, ‖int8 − fp32‖ / ‖fp32‖ of the embeddings is 0.0168 with it and 0.0218 without.
 * @param inputScale scale of the convolution's quantised input
 * @param inputMeans E[x] of each input channel
 */
export function quantizeWeights(
  { shape, weight, bias }: ConvolutionWeights,
  inputScale: number,
  inputMeans: Float64Array,
): IntegerWeights {
  const { floor, round } = Math;
  const [outputs = 0, inputs = 0, height = 1, width = 1] = shape;
  const perOutput = inputs * height * width;
  const groups = inputMeans.length / inputs;
  const quantized = new Int8Array(weight.length);
  const scales = new Float32Array(outputs);
  const biases = new Int32Array(outputs);
  for (let o = 0; o < outputs; o++) {
    const start = o * perOutput;
    const own = weight.subarray(start, start + perOutput);
    const offset = bias[o]!;
    const scale = scaleOf(own, offset, inputScale);
    scales[o] = scale;
    const firstInput = Math.floor(o / (outputs / groups)) * inputs;
    let excess = 0;
    own.forEach((w, i) => {
      const level = round(w / scale);
      quantized[start + i] = level;
      excess += (level * scale - w) * inputMeans[firstInput + floor(i / (height * width))]!;
    });
    biases[o] = Math.round((offset - excess) / (inputScale * scale));
  }
  return { weight: quantized, bias: biases, scales };
}

/** The largest weight becomes 127, unless the bias would then not fit into int32, as in channels that are all but dead. */
function scaleOf(weights: Float32Array, bias: number, inputScale: number): number {
  const { abs, max } = Math;
  const largest = weights.reduce((found, w) => max(found, abs(w)), 0);
  const least = abs(bias) / inputScale / LARGEST_BIAS;
  const scale = max(largest / LEVELS, least);
  return Math.fround(scale) > 0 ? Math.fround(scale) : 1;
}

/**
 * Finds what a model can compute in integers: convolutions with constant float32 weights, maximum pooling, and additions of two
 * activations, each with the Relu or Clip that follows, which onnxruntime merges into the rounding. All other operators stay
 * float32.
 * @returns the activations to quantise, which are the inputs and results of these operators. Each is mapped to the activation
 *   whose range it has: itself, or the input for the result of a maximum pooling
 */
export function integerActivations(graph: GraphProto): Map<string, string> {
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

/** Whether {@link integerActivations} counts an operator in. */
export function isIntegerOperator({ opType, input, output }: NodeProto, graph: GraphProto): boolean {
  const [first = '', second = '', third = ''] = input;
  if (opType === 'Conv') {
    const constant = constantShape(second, graph)?.length === 4 && isConstantFloat32(second, graph);
    return constant && (third === '' || constantShape(third, graph) !== undefined);
  }
  if (opType === 'Add') return ![first, second].some((name) => constantShape(name, graph));
  return opType === 'MaxPool' && output.length === 1;
}

/** The inputs that are not weights. */
function activationsOf({ opType, input }: NodeProto): string[] {
  return opType === 'Add' ? input : input.slice(0, 1);
}

/** The operator's result, or that of the Relu or Clip that alone reads it. */
function resultOf({ output }: NodeProto, graph: GraphProto): string {
  const [own = ''] = output;
  const readers = graph.node.filter(({ input }) => input.includes(own));
  const [reader] = readers;
  const merges = readers.length === 1 && (reader?.opType === 'Relu' || reader?.opType === 'Clip');
  return merges ? (reader.output[0] ?? own) : own;
}
