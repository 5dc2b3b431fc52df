import { InferenceSession, Tensor } from 'onnxruntime-node';
import { intTensor, model, node, tensorInfo } from '../formats/onnx/build.js';
import { encodeModel } from '../formats/onnx/model.js';
import { addScaled, dot, scale } from '../util/math.js';
import type { HeadKind } from './head.js';
import type { LabelSets } from './labels.js';
import type { Objective } from './lbfgs.js';

/**
 * How many rows make a block, at most. Each block is read twice, for the logits and for the gradient, and 1024 × 512
 * floats still lie in the cache the second time: a third faster than one pass over 50 000 rows.
 */
const MOST_ROWS = 1024;

/** Logits of one block, at most: 4 MiB, of which the graph holds a few at a time. */
const MOST_LOGITS = 2 ** 20;

/** Some rows of the data. */
export interface RowBlock {
  /** [rows × width], row-major. */
  features: Float32Array;
  /** Each row's class, 0 … classes − 1, or its set of labels; [rows]. */
  classes: Int32Array;
  /** Each row's weight, above 0; [rows]; 1 each where there are none. */
  weights?: Float32Array | undefined;
}

export interface ObjectiveOptions {
  /** N ≥ 2 classes, or N ≥ 1 labels. */
  classes: number;
  /** The sets of labels that rows have, where these are labels and not classes. The graph has to be of that kind. */
  sets?: LabelSets | undefined;
  /** D, the number of features. */
  width: number;
  /** λ ≥ 0 */
  l2: number;
  /** ε, 0 ≤ ε < 1; default 0. */
  labelSmoothing?: number | undefined;
}

/** How many rows a block should have, so that its logits do not fill the memory. */
export function blockRows(classes: number): number {
  return Math.max(16, Math.min(MOST_ROWS, Math.floor(MOST_LOGITS / classes)));
}

/**
 * The objective of softmax regression (multinomial logistic regression) with sample weights and label smoothing,
 *   f(W, b) = 1/Σw Σᵢ wᵢ H(tᵢ, softmax(W xᵢ + b)) + λ/2 ‖W‖²,
 * and its gradient. H is the cross-entropy; tᵢ is 1 − ε on the row's class, and ε/N more on every class (Szegedy et al.
 * 2016, "Rethinking the Inception Architecture", section 7). The mean is weighted as scikit-learn's LogisticRegression
 * has it with sample_weight; the bias is not penalised. Blocks, and the losses of rows, are summed in float64. Large
 * logits do no harm: LogSoftmax subtracts the largest one first.
 *
 * With `sets`, the objective of one logistic regression a label: in place of H, the sum over labels of the binary
 * cross-entropies of sigmoid(W xᵢ + b), whose targets are (1 − ε) tᵢ + ε/2.
 * @param blocks the data, at least one row; gone through anew by each evaluation
 * @returns f of the parameters W [classes × width] row-major, then b [classes], which are rounded to float32 for the
 *   products
 */
export function softmaxObjective(
  graph: SoftmaxGraph,
  blocks: Iterable<RowBlock> | AsyncIterable<RowBlock>,
  { classes, width, l2, labelSmoothing = 0, sets }: ObjectiveOptions,
): Objective {
  const targets = new Targets(classes, labelSmoothing, sets);
  return async (x) => {
    const weights = x.subarray(0, classes * width);
    const parameters = toParameters(x, classes);
    const gradient = new Float64Array(x.length);
    const gradientOfW = gradient.subarray(0, classes * width);
    const gradientOfB = gradient.subarray(classes * width);
    let [loss, sumOfWeights] = [0, 0];
    for await (const { features, classes: y, weights: w = ones(y.length) } of blocks) {
      const { crossEntropy, dW, db } = await graph.gradient(features, targets.of(y), w, parameters);
      for (let i = 0; i < y.length; i++) {
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

/** W and b in float32 from the vector of parameters, W [classes × width] then b [classes]. */
export function toParameters(x: Float64Array, classes: number): Parameters {
  const split = x.length - classes;
  return { W: new Float32Array(x.subarray(0, split)), b: new Float32Array(x.subarray(split)) };
}

/** Makes the targets [rows × classes] of one block after another in the same memory. */
class Targets {
  private memory = new Float32Array(0);
  private places: number[] = [];

  constructor(
    private readonly classes: number,
    private readonly smoothing: number,
    private readonly sets: LabelSets | undefined,
  ) {}

  of(y: Int32Array): Float32Array {
    const { classes, smoothing, sets } = this;
    const everywhere = smoothing / (sets ? 2 : classes);
    for (const place of this.places) this.memory[place] = everywhere;
    this.places = [];
    for (const [i, c] of y.entries()) {
      if (!sets) this.places.push(i * classes + c);
      else for (const n of sets[c] ?? []) this.places.push(i * classes + n);
    }
    if (this.memory.length < y.length * classes) {
      this.memory = new Float32Array(y.length * classes).fill(everywhere);
    }
    for (const place of this.places) this.memory[place] = 1 - smoothing + everywhere;
    return this.memory.subarray(0, y.length * classes);
  }
}

const ONES = new Float32Array(MOST_ROWS).fill(1);

function ones(length: number): Float32Array {
  return length <= MOST_ROWS ? ONES.subarray(0, length) : new Float32Array(length).fill(1);
}

/** What one block of rows adds to the objective: sums over its rows. */
interface BlockGradient {
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
function gradientGraph(kind: HeadKind): Uint8Array {
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
