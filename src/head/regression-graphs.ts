import { encodeModel, intTensor, model, node, tensorInfo } from '../onnx/index.js';
import type { HeadKind } from './head-fields.js';

/** −Σₙ Tₙ log softmax(z)ₙ of each row. */
const SOFTMAX_LOSS = [
  node('LogSoftmax', ['logits'], ['logP'], { axis: 1 }),
  node('Mul', ['logP', 'T'], ['logPOfTarget']),
  node('ReduceSum', ['logPOfTarget', 'classAxis'], ['logLikelihood'], { keepdims: 0 }),
  node('Neg', ['logLikelihood'], ['crossEntropy']),
  node('Exp', ['logP'], ['P']),
];

/**
 * −Σₙ Tₙ log σ(z)ₙ + (1 − Tₙ) log(1 − σ(z)ₙ) of each row, as Σₙ max(z, 0) − T z + softplus(−|z|), in which nothing
 * overflows and large terms cancel exactly.
 */
const LOGISTIC_LOSS = [
  node('Relu', ['logits'], ['positive']),
  node('Mul', ['logits', 'T'], ['ofTarget']),
  node('Sub', ['positive', 'ofTarget'], ['linear']),
  node('Abs', ['logits'], ['magnitude']),
  node('Neg', ['magnitude'], ['decay']),
  node('Softplus', ['decay'], ['rest']),
  node('Add', ['linear', 'rest'], ['losses']),
  node('ReduceSum', ['losses', 'classAxis'], ['crossEntropy'], { keepdims: 0 }),
  node('Sigmoid', ['logits'], ['P']),
];

/**
 * The cross-entropy of each row, and the weighted sums over rows of its gradient: with p − t for the gradient by the
 * logits, in both regressions (Bishop, Pattern Recognition and Machine Learning, equations 4.109, which holds for any
 * targets that sum to 1, and 4.91).
 */
export function gradientGraph(kind: HeadKind): Uint8Array {
  return encodeModel(
    model({
      name: kind === 'softmax' ? 'softmax-regression' : 'logistic-regressions',
      inputs: [
        tensorInfo('X', ['rows', 'width']),
        tensorInfo('T', ['rows', 'classes']),
        tensorInfo('w', ['rows', 1]),
        tensorInfo('W', ['classes', 'width']),
        tensorInfo('b', ['classes']),
      ],
      initializers: [intTensor('rowAxis', [1], [0]), intTensor('classAxis', [1], [1])],
      nodes: [
        node('Gemm', ['X', 'W', 'b'], ['logits'], { transB: 1 }),
        ...(kind === 'softmax' ? SOFTMAX_LOSS : LOGISTIC_LOSS),
        node('Sub', ['P', 'T'], ['difference']),
        node('Mul', ['difference', 'w'], ['residual']),
        node('Gemm', ['residual', 'X'], ['dW'], { transA: 1 }),
        node('ReduceSum', ['residual', 'rowAxis'], ['db'], { keepdims: 0 }),
      ],
      outputs: [
        tensorInfo('crossEntropy', ['rows']),
        tensorInfo('dW', ['classes', 'width']),
        tensorInfo('db', ['classes']),
      ],
    }),
  );
}

/** X Wᵀ + b. */
export function logitsGraph(): Uint8Array {
  return encodeModel(
    model({
      name: 'logits',
      inputs: [
        tensorInfo('X', ['rows', 'width']),
        tensorInfo('W', ['classes', 'width']),
        tensorInfo('b', ['classes']),
      ],
      initializers: [],
      nodes: [node('Gemm', ['X', 'W', 'b'], ['logits'], { transB: 1 })],
      outputs: [tensorInfo('logits', ['rows', 'classes'])],
    }),
  );
}
