import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { HeadKind } from './head-fields.js';
import { gradientGraph, logitsGraph } from './regression-graphs.js';

/** What one block of rows adds to the objective: sums over its rows. */
export interface BlockGradient {
  /** Each row's cross-entropy in nats, of several labels their sum; [rows]. */
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
 * The arithmetic of softmax regression, or of logistic regressions side by side, as two small ONNX graphs, in float32. The same input gives the same bits again
 * on one machine: onnxruntime's threads share out rows and columns, never the terms of one sum.
 */
export class SoftmaxGraph {
  private constructor(
    /** Which of the two regressions the gradients are of. */
    readonly kind: HeadKind,
    private readonly gradientSession: InferenceSession,
    private readonly logitsSession: InferenceSession,
  ) {}

  /** Makes the graphs, which serve any number of classes and features. */
  static async create(kind: HeadKind = 'softmax'): Promise<SoftmaxGraph> {
    return new SoftmaxGraph(
      kind,
      await InferenceSession.create(gradientGraph(kind)),
      await InferenceSession.create(logitsGraph()),
    );
  }

  /**
   * The cross-entropies of a block's rows and the gradient of their weighted sum.
   * @param features X [rows × width], row-major
   * @param targets T [rows × classes]: the probabilities that each row should have; rows of softmax regression sum to 1
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

function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new TypeError('The softmax graph lacks an output.');
  return tensor.data;
}
