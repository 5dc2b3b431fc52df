import { InferenceSession, Tensor } from 'onnxruntime-node';
import { encodeModel, intTensor, model, node, tensorInfo } from '../onnx/index.js';
import { addScaled, dot, scale } from './vector.js';

/**
 * How many rows make a block. Each block is read twice, for the logits and for the gradient, and 1024 × 512 floats still
 * lie in the cache the second time: a third faster than one pass over 50 000 rows.
 */
export const BLOCK_ROWS = 1024;

/** Some rows of the data. */
export interface RowBlock {
  /** [rows × width], row-major. */
  features: Float32Array;
  /** Each row's class, 0 … classes − 1; [rows]. */
  classes: Int32Array;
}

/**
 * The objective of softmax regression (multinomial logistic regression),
 *   f(W, b) = −1/M Σᵢ log softmax(W xᵢ + b)[yᵢ] + λ/2 ‖W‖²,
 * and its gradient. The bias is not penalised. onnxruntime computes each block in float32; blocks, and the losses of
 * rows, are summed in float64. Large logits do no harm: LogSoftmax subtracts the largest one first. The same input gives
 * the same bits again on one machine: onnxruntime's threads share out rows and columns, never the terms of one sum.
 */
export class SoftmaxObjective {
  private constructor(
    private readonly session: InferenceSession,
    private readonly blocks: Iterable<RowBlock> | AsyncIterable<RowBlock>,
    readonly classes: number,
    readonly width: number,
    readonly l2: number,
  ) {}

  /**
   * @param blocks the data, at least one row; gone through anew by each evaluation
   * @param options.classes N ≥ 2
   * @param options.width D, the number of features
   * @param options.l2 λ ≥ 0
   */
  static async create(
    blocks: Iterable<RowBlock> | AsyncIterable<RowBlock>,
    options: { classes: number; width: number; l2: number },
  ): Promise<SoftmaxObjective> {
    const session = await InferenceSession.create(objectiveGraph(options.classes, options.width));
    return new SoftmaxObjective(session, blocks, options.classes, options.width, options.l2);
  }

  /** The length of the vector of parameters: W [classes × width] row-major, then b [classes]. */
  get size(): number {
    return this.classes * (this.width + 1);
  }

  /**
   * The loss and its gradient.
   * @param parameters W then b, [size]; rounded to float32 for the products
   */
  async evaluate(parameters: Float64Array): Promise<{ loss: number; gradient: Float64Array }> {
    const { classes, width, l2 } = this;
    const weights = parameters.subarray(0, classes * width);
    const bias = parameters.subarray(classes * width);
    const W = new Tensor('float32', new Float32Array(weights), [classes, width]);
    const b = new Tensor('float32', new Float32Array(bias), [classes]);

    const gradient = new Float64Array(this.size);
    const gradientOfW = gradient.subarray(0, classes * width);
    const gradientOfB = gradient.subarray(classes * width);
    let rows = 0;
    let loss = 0;
    for await (const { features, classes: y } of this.blocks) {
      const X = new Tensor('float32', features, [y.length, width]);
      const Y = new Tensor('float32', oneHot(y, classes), [y.length, classes]);
      const { nll, dW, db } = await this.session.run({ X, Y, W, b });
      rows += y.length;
      for (const value of floats(nll)) loss += value;
      addScaled(gradientOfW, 1, floats(dW));
      addScaled(gradientOfB, 1, floats(db));
    }
    scale(gradient, 1 / rows);
    addScaled(gradientOfW, l2, weights);
    return { loss: loss / rows + (l2 / 2) * dot(weights, weights), gradient };
  }

  /** Frees the session; the objective cannot be evaluated any more. */
  async release(): Promise<void> {
    await this.session.release();
  }
}

/**
 * For one block: nll [M], each row's negative log-likelihood, and the sums over rows of its gradient
 * (Bishop, Pattern Recognition and Machine Learning, equation 4.109): dW = (P − Y)ᵀ X [N, D] and db = (P − Y)ᵀ 1 [N].
 */
function objectiveGraph(classes: number, width: number): Uint8Array {
  return encodeModel(
    model({
      name: 'softmax-regression',
      inputs: [
        tensorInfo('X', ['rows', width]),
        tensorInfo('Y', ['rows', classes]),
        tensorInfo('W', [classes, width]),
        tensorInfo('b', [classes]),
      ],
      initializers: [intTensor('rowAxis', [1], [0]), intTensor('classAxis', [1], [1])],
      nodes: [
        node('Gemm', ['X', 'W', 'b'], ['logits'], { transB: 1 }),
        node('LogSoftmax', ['logits'], ['logP'], { axis: 1 }),
        node('Mul', ['logP', 'Y'], ['logPOfClass']),
        node('ReduceSum', ['logPOfClass', 'classAxis'], ['logLikelihood'], { keepdims: 0 }),
        node('Neg', ['logLikelihood'], ['nll']),
        node('Exp', ['logP'], ['P']),
        node('Sub', ['P', 'Y'], ['residual']),
        node('Gemm', ['residual', 'X'], ['dW'], { transA: 1 }),
        node('ReduceSum', ['residual', 'rowAxis'], ['db'], { keepdims: 0 }),
      ],
      outputs: [tensorInfo('nll', ['rows']), tensorInfo('dW', [classes, width]), tensorInfo('db', [classes])],
    }),
  );
}

/** [rows × classes]: made here, block by block, it is faster than ONNX's OneHot and takes no memory to speak of. */
function oneHot(y: Int32Array, classes: number): Float32Array {
  const rows = new Float32Array(y.length * classes);
  y.forEach((c, i) => {
    rows[i * classes + c] = 1;
  });
  return rows;
}

function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new TypeError('The objective graph lacks an output.');
  return tensor.data;
}
