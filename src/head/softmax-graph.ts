import { InferenceSession, Tensor } from 'onnxruntime-node';
import { encodeModel, intTensor, model, node, tensorInfo } from '../onnx/index.js';

/** What one block of rows adds to the objective: sums over its rows. */
export interface BlockGradient {
  /** Each row's cross-entropy in nats; [rows]. */
  crossEntropy: Float32Array;
  /** Σ wᵢ (pᵢ − tᵢ) xᵢᵀ; [classes × width], row-major. */
  dW: Float32Array;
  /** Σ wᵢ (pᵢ − tᵢ); [classes]. */
  db: Float32Array;
}

/** W [classes × width], row-major, and b [classes]. */
export interface Parameters {
  W: Float32Array;
  b: Float32Array;
}

/**
 * The arithmetic of softmax regression as two small ONNX graphs, in float32. The same input gives the same bits again
 * on one machine: onnxruntime's threads share out rows and columns, never the terms of one sum.
 */
export class SoftmaxGraph {
  private constructor(
    private readonly gradientSession: InferenceSession,
    private readonly logitsSession: InferenceSession,
  ) {}

  /** Makes the graphs, which serve any number of classes and features. */
  static async create(): Promise<SoftmaxGraph> {
    return new SoftmaxGraph(
      await InferenceSession.create(gradientGraph()),
      await InferenceSession.create(logitsGraph()),
    );
  }

  /**
   * The cross-entropies of a block's rows and the gradient of their weighted sum.
   * @param features X [rows × width], row-major
   * @param targets T [rows × classes]: the probabilities that each row should have; rows sum to 1
   * @param weights w [rows]
   */
  async gradient(
    features: Float32Array,
    targets: Float32Array,
    weights: Float32Array,
    { W, b }: Parameters,
  ): Promise<BlockGradient> {
    const [rows, classes] = [weights.length, b.length];
    const width = W.length / classes;
    const { crossEntropy, dW, db } = await this.gradientSession.run({
      X: new Tensor('float32', features, [rows, width]),
      T: new Tensor('float32', targets, [rows, classes]),
      w: new Tensor('float32', weights, [rows, 1]),
      W: new Tensor('float32', W, [classes, width]),
      b: new Tensor('float32', b, [classes]),
    });
    return { crossEntropy: floats(crossEntropy), dW: floats(dW), db: floats(db) };
  }

  /**
   * X Wᵀ + b.
   * @param features X [rows × width], row-major
   * @returns [rows × classes], row-major
   */
  async logits(features: Float32Array, { W, b }: Parameters): Promise<Float32Array> {
    const width = W.length / b.length;
    const { logits } = await this.logitsSession.run({
      X: new Tensor('float32', features, [features.length / width, width]),
      W: new Tensor('float32', W, [b.length, width]),
      b: new Tensor('float32', b, [b.length]),
    });
    return floats(logits);
  }

  /** Frees the sessions; nothing can be computed any more. */
  async release(): Promise<void> {
    await this.gradientSession.release();
    await this.logitsSession.release();
  }
}

/**
 * Cross-entropy −Σₙ Tₙ log softmax(X Wᵀ + b)ₙ of each row, and the weighted sums over rows of its gradient (Bishop,
 * Pattern Recognition and Machine Learning, equation 4.109, which holds for any targets that sum to 1).
 */
function gradientGraph(): Uint8Array {
  return encodeModel(
    model({
      name: 'softmax-regression',
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
        node('LogSoftmax', ['logits'], ['logP'], { axis: 1 }),
        node('Mul', ['logP', 'T'], ['logPOfTarget']),
        node('ReduceSum', ['logPOfTarget', 'classAxis'], ['logLikelihood'], { keepdims: 0 }),
        node('Neg', ['logLikelihood'], ['crossEntropy']),
        node('Exp', ['logP'], ['P']),
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

function logitsGraph(): Uint8Array {
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

function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new TypeError('The softmax graph lacks an output.');
  return tensor.data;
}
