import type { Head } from '../../head/index.js';
import {
  floatTensor,
  intTensor,
  node,
  tensorInfo,
  type Extension,
  type NodeProto,
  type TensorProto,
} from '../../onnx/index.js';

/** A length that is greater than 0 and changes no embedding's own. */
const LEAST_LENGTH = 1e-30;

/**
 * A head as operators after `embedding` [batch, D]. Outputs: `probabilities` [batch, N], softmax or, of a multilabel head,
 * sigmoid of logits / temperature; `logits` [batch, N], before the temperature; `embedding`; and, where the head can tell,
 * `unknown` bool [batch], whether a picture is probably none of the classes, see {@link Head.areUnknown}.
 */
export function headOperators(head: Head): Extension {
  const { labels, width, kind, bias, temperature, unknown } = head;
  const detector = unknown ? unknownOperators(head.labels.length, width, unknown) : undefined;
  return {
    after: [
      node('Gemm', ['embedding', 'head.weight', 'head.bias'], ['logits'], { transB: 1 }, 'head'),
      node('Div', ['logits', 'head.temperature'], ['head.calibrated'], {}, 'head.calibrate'),
      kind === 'softmax'
        ? node('Softmax', ['head.calibrated'], ['probabilities'], { axis: 1 }, 'head.softmax')
        : node('Sigmoid', ['head.calibrated'], ['probabilities'], {}, 'head.sigmoid'),
      ...(detector?.nodes ?? []),
    ],
    initializers: [
      floatTensor('head.weight', [labels.length, width], Float32Array.from(head.weights.to1DArray())),
      floatTensor('head.bias', [labels.length], bias),
      floatTensor('head.temperature', [], Float32Array.of(temperature)),
      ...(detector?.initializers ?? []),
    ],
    outputs: [
      tensorInfo('probabilities', ['batch', labels.length]),
      tensorInfo('logits', ['batch', labels.length]),
      tensorInfo('embedding', ['batch', width]),
      ...(detector ? [tensorInfo('unknown', ['batch'], 'bool')] : []),
    ],
  };
}

/** max of embedding · means ÷ ‖embedding‖ < threshold */
function unknownOperators(
  classes: number,
  width: number,
  { means, threshold }: NonNullable<Head['unknown']>,
): { nodes: NodeProto[]; initializers: TensorProto[] } {
  return {
    nodes: [
      node('Gemm', ['embedding', 'unknown.means'], ['unknown.products'], { transB: 1 }),
      node('ReduceMax', ['unknown.products', 'unknown.axes'], ['unknown.nearest'], { keepdims: 0 }),
      node('ReduceL2', ['embedding', 'unknown.axes'], ['unknown.norm'], { keepdims: 0 }),
      node('Max', ['unknown.norm', 'unknown.leastLength'], ['unknown.length']),
      node('Div', ['unknown.nearest', 'unknown.length'], ['unknown.cosine']),
      node('Less', ['unknown.cosine', 'unknown.threshold'], ['unknown']),
    ],
    initializers: [
      floatTensor('unknown.means', [classes, width], Float32Array.from(means.to1DArray())),
      floatTensor('unknown.threshold', [], Float32Array.of(threshold)),
      floatTensor('unknown.leastLength', [], Float32Array.of(LEAST_LENGTH)),
      intTensor('unknown.axes', [1], [1]),
    ],
  };
}
