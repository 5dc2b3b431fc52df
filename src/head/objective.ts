import { InferenceSession, Tensor } from 'onnxruntime-node';
import { initializer, model, node, tensorInfo } from '../formats/onnx/build.js';
import { encodeModel } from '../formats/onnx/model.js';
import { addScaled, dot, scale } from '../util/math.js';
import type { ExampleBlock } from './examples.js';
import type { Objective } from './lbfgs.js';
import type { Task, Targets } from './task.js';

export interface ObjectiveOptions {
  /** The blocks' targets are indices into its label sets. */
  labelSets: Targets['labelSets'];
  /** N: at least 2 classes, or at least 1 label. */
  count: number;
  /** D, the number of features. */
  width: number;
  /** λ ≥ 0 */
  l2: number;
  /** ε, 0 ≤ ε < 1. @default 0 */
  labelSmoothing?: number | undefined;
}

/**
 * The objective of softmax regression (multinomial logistic regression) with sample weights and label smoothing,
 *   f(W, b) = 1/Σw Σᵢ wᵢ H(tᵢ, softmax(W xᵢ + b)) + λ/2 ‖W‖²,
 * and its gradient. H is the cross-entropy; tᵢ is 1 − ε on the row's class, and ε/N more on every class (Szegedy et al.
 * 2016, "Rethinking the Inception Architecture", section 7). The mean is weighted as in scikit-learn's LogisticRegression
 * with sample_weight; the bias is not penalised. Blocks, and the losses of rows, are summed in float64. Large logits do
 * no harm, since LogSoftmax subtracts the largest one first.
 *
 * For several labels, it is the sum of one logistic regression per label: H is the sum of the binary cross-entropies of
 * σ(W xᵢ + b), whose targets are (1 − ε) tᵢ + ε/2.
 * @param blocks the data, at least one row; read by each evaluation
 * @returns f of the parameters W [N × width] row-major, then b [N], which are rounded to float32 for the products
 */
export function headObjective(
  graph: HeadGraph,
  blocks: Iterable<ExampleBlock> | AsyncIterable<ExampleBlock>,
  { count, labelSets, width, l2, labelSmoothing = 0 }: ObjectiveOptions,
): Objective {
  const fillTargets = targetMatrix(graph.task, labelSets, count, labelSmoothing);
  return async (x) => {
    const weights = x.subarray(0, count * width);
    const parameters = toParameters(x, count);
    const gradient = new Float64Array(x.length);
    const gradientOfW = gradient.subarray(0, count * width);
    const gradientOfB = gradient.subarray(count * width);
    let [loss, sumOfWeights] = [0, 0];
    for await (const { features, targets, weights: w = new Float32Array(targets.length).fill(1) } of blocks) {
      const { crossEntropy, dW, db } = await graph.gradient(features, fillTargets(targets), w, parameters);
      for (let i = 0; i < targets.length; i++) {
        loss += w[i]! * crossEntropy[i]!;
        sumOfWeights += w[i]!;
      }
      addScaled(gradientOfW, 1, dW);
      addScaled(gradientOfB, 1, db);
    }
    scale(gradient, 1 / sumOfWeights);
    addScaled(gradientOfW, l2, weights);
    return { loss: loss / sumOfWeights + (l2 / 2) * dot(weights, weights), gradient };
  };
}

/** W and b in float32 from the vector of parameters, W [N × width] then b [N]. */
export function toParameters(x: Float64Array, count: number): Parameters {
  const split = x.length - count;
  return { W: new Float32Array(x.subarray(0, split)), b: new Float32Array(x.subarray(split)) };
}

/** Returns a function that makes the target matrix [rows × N] of one block after another, in the same memory. */
function targetMatrix(
  task: Task,
  labelSets: Targets['labelSets'],
  count: number,
  epsilon: number,
): (targets: Int32Array) => Float32Array {
  const everywhere = task.smoothing(epsilon, count);
  let memory = new Float32Array(0);
  let set: number[] = [];
  return (targets) => {
    for (const place of set) memory[place] = everywhere;
    set = [];
    for (const [i, target] of targets.entries()) {
      for (const n of labelSets[target]!) set.push(i * count + n);
    }
    if (memory.length < targets.length * count) {
      memory = new Float32Array(targets.length * count).fill(everywhere);
    }
    for (const place of set) memory[place] = 1 - epsilon + everywhere;
    return memory.subarray(0, targets.length * count);
  };
}

/** What one block of rows adds to the objective. */
export interface BlockGradient {
  /** Each row's cross-entropy in nats, summed over labels if there are several; [rows]. */
  crossEntropy: Float32Array;
  /** Σ wᵢ (pᵢ − tᵢ) xᵢᵀ; [N × width], row-major. */
  dW: Float32Array;
  /** Σ wᵢ (pᵢ − tᵢ); [N]. */
  db: Float32Array;
}

/** W [N × width], row-major, and b [N]. */
export interface Parameters {
  W: Float32Array;
  b: Float32Array;
}

/**
 * The arithmetic of a head as two small ONNX graphs, in float32. The same input gives the same bits on one machine:
 * onnxruntime's threads divide rows and columns among them, never the terms of one sum.
 */
export class HeadGraph {
  private constructor(
    readonly task: Task,
    private readonly gradientSession: InferenceSession,
    private readonly logitsSession: InferenceSession,
  ) {}

  /** Builds the graphs, which work for any number of labels and features. */
  static async create(task: Task): Promise<HeadGraph> {
    return new HeadGraph(
      task,
      await InferenceSession.create(gradientGraph(task)),
      await InferenceSession.create(logitsGraph()),
    );
  }

  /** Lends the graphs to `use`, and frees them afterwards. */
  static async with<T>(task: Task, use: (graph: HeadGraph) => Promise<T>): Promise<T> {
    const graph = await HeadGraph.create(task);
    try {
      return await use(graph);
    } finally {
      await graph.release();
    }
  }

  /**
   * The cross-entropies of a block's rows, and the gradient of their weighted sum.
   * @param features X [rows × width], row-major
   * @param targets T [rows × N]: the probabilities that each row should have
   * @param weights w [rows]
   */
  async gradient(
    features: Float32Array,
    targets: Float32Array,
    weights: Float32Array,
    { W, b }: Parameters,
  ): Promise<BlockGradient> {
    const [rows, count] = [weights.length, b.length];
    const width = W.length / count;
    const { crossEntropy, dW, db } = await this.gradientSession.run({
      X: new Tensor('float32', features, [rows, width]),
      T: new Tensor('float32', targets, [rows, count]),
      w: new Tensor('float32', weights, [rows, 1]),
      W: new Tensor('float32', W, [count, width]),
      b: new Tensor('float32', b, [count]),
    });
    return { crossEntropy: floats(crossEntropy), dW: floats(dW), db: floats(db) };
  }

  /**
   * X Wᵀ + b.
   * @param features X [rows × width], row-major
   * @returns [rows × N], row-major
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

  /** Frees the sessions. Nothing can be computed any more. */
  async release(): Promise<void> {
    await this.gradientSession.release();
    await this.logitsSession.release();
  }
}

function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new TypeError('The graph of the head lacks an output.');
  return tensor.data;
}

/**
 * The cross-entropy of each row, and its gradient summed over rows with their weights. The gradient by the logits is p − t
 * for both tasks (Bishop, Pattern Recognition and Machine Learning, equations 4.109, which holds for any targets that sum
 * to 1, and 4.91).
 */
function gradientGraph({ lossNodes }: Task): Uint8Array {
  return encodeModel(
    model({
      name: 'head-gradient',
      inputs: [
        tensorInfo('X', ['rows', 'width']),
        tensorInfo('T', ['rows', 'classes']),
        tensorInfo('w', ['rows', 1]),
        tensorInfo('W', ['classes', 'width']),
        tensorInfo('b', ['classes']),
      ],
      initializers: [initializer('rowAxis', [1], [0]), initializer('classAxis', [1], [1])],
      nodes: [
        node('Gemm', ['X', 'W', 'b'], ['logits'], { transB: 1 }),
        ...lossNodes,
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
function logitsGraph(): Uint8Array {
  return encodeModel(
    model({
      name: 'head-logits',
      inputs: [tensorInfo('X', ['rows', 'width']), tensorInfo('W', ['classes', 'width']), tensorInfo('b', ['classes'])],
      initializers: [],
      nodes: [node('Gemm', ['X', 'W', 'b'], ['logits'], { transB: 1 })],
      outputs: [tensorInfo('logits', ['rows', 'classes'])],
    }),
  );
}
