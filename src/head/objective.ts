import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { initializer, model, node, tensorInfo } from '../formats/onnx/build.js';
import { encodeModel } from '../formats/onnx/model.js';
import { addFloats, addScaled, sum } from '../util/math.js';
import { ort } from '../util/onnxruntime.js';
import type { Blocks, ExampleBlock } from './examples.js';
import type { Task, Targets } from './task.js';

export interface ObjectiveOptions {
  /** The blocks' targets are indices into its label sets. */
  labelSets: Targets['labelSets'];
  /** N: at least 2 classes, or at least 1 label. */
  count: number;
  /** D, the number of features. */
  width: number;
  /** ε, 0 ≤ ε < 1. @default 0 */
  labelSmoothing?: number | undefined;
}

/** Several heads that are trained on the same blocks, each without the rows of one fold. */
export interface LeftOut {
  /** Each row's fold; [M]. */
  foldOf: Int32Array;
  /** The fold that each head leaves out. */
  folds: readonly number[];
}

/** The objectives of some heads, each at a point. */
export interface Evaluated {
  heads: {
    loss: number;
    /** ‖∇f‖∞ */
    gradientNorm: number;
    /** The mean log loss on the fold that the head leaves out; NaN if it leaves out none. */
    heldOut: number;
  }[];
  /** Of all heads: by W [heads × N × D] and by b [heads × N]. The next evaluation writes over it. */
  gradient: Parameters;
}

/** Sums over rows: Σ wᵢ tᵢ xᵢᵀ [N × D], then Σ wᵢ tᵢ [N]; and Σ wᵢ. */
interface TargetSums {
  sums: Float64Array;
  weight: number;
}

/** Of the rows that a head is trained on, and of those that it leaves out. */
interface HeadSums {
  inside: TargetSums;
  outside: TargetSums;
}

/**
 * The objective of softmax regression (multinomial logistic regression) with sample weights and label smoothing,
 *   f(W, b) = 1/Σw Σᵢ wᵢ H(tᵢ, softmax(W xᵢ + b)) + λ/2 ‖W‖²,
 * and its gradient. H is the cross-entropy; tᵢ is 1 − ε on the row's class, and ε/N more on every class (Szegedy et al.
 * 2016, "Rethinking the Inception Architecture", section 7). The mean is weighted as in scikit-learn's LogisticRegression
 * with sample_weight; the bias is not penalised. For several labels, it is the sum of one logistic regression per label: H is
 * the sum of the binary cross-entropies of σ(W xᵢ + b), whose targets are (1 − ε) tᵢ + ε/2.
 *
 * Both are exponential families (Bishop, Pattern Recognition and Machine Learning, section 2.4): H(t, z) = A(z) − tᵀz, where A
 * is the log-partition function, and ∇A is the vector of probabilities. So the targets enter only through Σ wᵢ tᵢ xᵢᵀ, which
 * is summed once, and a pass over the data computes A and ∇A. Heads that leave out one fold each are evaluated in the same pass:
 * one product of matrices with all their weights side by side uses the processor better than one for each. The values of A
 * are summed in float64.
 */
export class HeadObjective {
  private constructor(
    private readonly graph: HeadGraph,
    private readonly blocks: Blocks,
    private readonly options: ObjectiveOptions & { leftOut?: LeftOut | undefined },
    private readonly sums: readonly HeadSums[],
  ) {}

  /**
   * Reads the data once.
   * @param blocks the data, at least one row; read by each evaluation
   * @param options.leftOut @default one head, which leaves out no rows
   */
  static async create(
    graph: HeadGraph,
    blocks: Blocks,
    options: ObjectiveOptions & { leftOut?: LeftOut | undefined },
  ): Promise<HeadObjective> {
    return new HeadObjective(graph, blocks, options, await sumTargets(graph.task, blocks, options));
  }

  /** Written over by each evaluation, as new ones would be collected as garbage all the time. */
  private gradients: [Parameters, Parameters] | undefined;

  /** N */
  get count(): number {
    return this.options.count;
  }

  /**
   * Evaluates all heads.
   * @param parameters of all heads: W [heads × N × D], row-major, and b [heads × N]
   * @param l2 λ ≥ 0
   */
  async at(parameters: Parameters, l2: number): Promise<Evaluated> {
    const { count, width } = this.options;
    const { W, b } = parameters;
    const heads = this.sums.length;
    const size = count * width;
    const [inside, outside] = [new Float64Array(heads), new Float64Array(heads)];
    const zeros = (): Parameters => ({ W: new Float32Array(W.length), b: new Float32Array(b.length) });
    let [gradient, other] = (this.gradients ??= [zeros(), zeros()]);
    gradient.W.fill(0);
    gradient.b.fill(0);
    for await (const block of this.blocks) {
      const weights = this.weightsOf(block, heads);
      const A = await this.graph.addGradient(other, block.features, weights, parameters, count, gradient);
      const rows = block.rows.length;
      for (let h = 0; h < heads; h++) {
        for (let i = 0; i < rows; i++) {
          const weight = weights[h * rows + i]!;
          if (weight > 0) inside[h]! += weight * A[i * heads + h]!;
          else outside[h]! += (block.weights?.[i] ?? 1) * A[i * heads + h]!;
        }
      }
      [gradient, other] = [other, gradient];
    }
    const values = this.sums.map(({ inside: train, outside: held }, h) => {
      const ofHead = (of: Parameters): Parameters => ({
        W: of.W.subarray(h * size, (h + 1) * size),
        b: of.b.subarray(h * count, (h + 1) * count),
      });
      const trained = addTargets(ofHead(parameters), ofHead(gradient), train, l2, this.graph.task.hasClasses);
      return {
        loss: (inside[h]! - trained.fit) / train.weight + (l2 / 2) * trained.squares,
        gradientNorm: trained.gradientNorm,
        heldOut: (outside[h]! - inner(ofHead(parameters), held)) / held.weight,
      };
    });
    return { heads: values, gradient };
  }

  /** For each head each row's weight, 0 if the head leaves it out; [heads × rows]. */
  private weightsOf({ rows, weights }: ExampleBlock, heads: number): Float32Array {
    const { leftOut } = this.options;
    const result = new Float32Array(heads * rows.length);
    for (let i = 0; i < rows.length; i++) {
      const fold = leftOut?.foldOf[rows[i]!];
      for (let h = 0; h < heads; h++) {
        result[h * rows.length + i] = fold !== undefined && fold === leftOut?.folds[h] ? 0 : (weights?.[i] ?? 1);
      }
    }
    return result;
  }
}

/** Sums of targets for each head. */
async function sumTargets(
  task: Task,
  blocks: Blocks,
  { count, width, labelSets, labelSmoothing = 0, leftOut }: ObjectiveOptions & { leftOut?: LeftOut | undefined },
): Promise<HeadSums[]> {
  const none = (): TargetSums => ({ sums: new Float64Array(count * (width + 1)), weight: 0 });
  const folds = leftOut?.folds ?? [NaN];
  // Of each fold that a head leaves out, then of all other rows.
  const all = [...folds, NaN].map(() => ({ ...none(), features: new Float64Array(width) }));
  for await (const { rows, features, targets, weights } of blocks) {
    for (let i = 0; i < rows.length; i++) {
      const at = folds.indexOf(leftOut?.foldOf[rows[i]!] ?? NaN);
      const found = all[at < 0 ? folds.length : at]!;
      const weight = weights?.[i] ?? 1;
      found.weight += weight;
      const x = features.subarray(i * width, (i + 1) * width);
      if (labelSmoothing > 0) addFloats(found.features, weight, x);
      for (const n of labelSets[targets[i]!]!) {
        addFloats(found.sums.subarray(n * width, (n + 1) * width), weight * (1 - labelSmoothing), x);
        found.sums[count * width + n]! += weight * (1 - labelSmoothing);
      }
    }
  }
  if (labelSmoothing > 0) {
    const everywhere = task.smoothing(labelSmoothing, count);
    for (const { sums, weight, features } of all) {
      for (let n = 0; n < count; n++) {
        addScaled(sums.subarray(n * width, (n + 1) * width), everywhere, features);
        sums[count * width + n]! += everywhere * weight;
      }
    }
  }
  return folds.map((_, h) => {
    const inside = none();
    all.forEach(({ sums, weight }, k) => {
      if (k === h) return;
      addScaled(inside.sums, 1, sums);
      inside.weight += weight;
    });
    return { inside, outside: all[h]! };
  });
}

/**
 * From the probabilities' part of a head's gradient, Σ wᵢ pᵢ xᵢᵀ and Σ wᵢ pᵢ, makes the whole of it, in place.
 * @returns Σ wᵢ tᵢᵀ(W xᵢ + b), ‖W‖² and ‖∇f‖∞
 */
function addTargets({ W, b }: Parameters, gradient: Parameters, targets: TargetSums, l2: number, hasClasses: boolean) {
  const { sums, weight } = targets;
  const size = W.length;
  let [fit, squares, gradientNorm] = [0, 0, 0];
  const perWeight = 1 / weight;
  for (let k = 0; k < size; k++) {
    const value = W[k]!;
    fit += sums[k]! * value;
    squares += value * value;
    const slope = (gradient.W[k]! - sums[k]!) * perWeight + l2 * value;
    gradient.W[k] = slope;
    gradientNorm = Math.max(gradientNorm, Math.abs(slope));
  }
  const slopes = Float64Array.from(gradient.b, (value, n) => (value - sums[size + n]!) * perWeight);
  // The mean is 0 but for the rounding of probabilities, and the optimiser would follow it for ever, as nothing changes if the
  // biases of all classes do alike.
  const mean = hasClasses ? sum(slopes) / slopes.length : 0;
  for (let n = 0; n < b.length; n++) {
    fit += sums[size + n]! * b[n]!;
    gradient.b[n] = slopes[n]! - mean;
    gradientNorm = Math.max(gradientNorm, Math.abs(slopes[n]! - mean));
  }
  return { fit, squares, gradientNorm };
}

/** Σ wᵢ tᵢᵀ(W xᵢ + b) */
function inner({ W, b }: Parameters, { sums }: TargetSums): number {
  let total = 0;
  for (let k = 0; k < W.length; k++) total += sums[k]! * W[k]!;
  for (let n = 0; n < b.length; n++) total += sums[W.length + n]! * b[n]!;
  return total;
}

/** W and b in float32 from the vector of parameters, W [N × width] then b [N]. */
export function toParameters(x: Float64Array, count: number): Parameters {
  const split = x.length - count;
  return { W: new Float32Array(x.subarray(0, split)), b: new Float32Array(x.subarray(split)) };
}

/** W [N × width], row-major, and b [N]. */
export interface Parameters {
  W: Float32Array;
  b: Float32Array;
}

const SESSION_OPTIONS: InferenceSession.SessionOptions = {
  // Each task leaves one of the graph's constants unused, which onnxruntime warns of.
  logSeverityLevel: 3,
  // Threads that spin after a run would keep the next session's from the processor; denormal floats are slow.
  extra: { session: { intra_op: { allow_spinning: '0' }, set_denormal_as_zero: '1' } },
};

/**
 * The arithmetic of heads as small ONNX graphs, in float32. The same input gives the same bits on one machine:
 * onnxruntime's threads divide rows and columns among them, never the terms of one sum.
 */
export class HeadGraph {
  private constructor(
    readonly task: Task,
    private readonly gradientSession: InferenceSession,
    private readonly logitsSession: InferenceSession,
    private readonly gramSession: InferenceSession,
    private readonly rootSession: InferenceSession,
  ) {}

  /** Builds the graphs, which work for any number of labels and features. */
  static async create(task: Task): Promise<HeadGraph> {
    return new HeadGraph(
      task,
      await ort.InferenceSession.create(gradientGraph(task), SESSION_OPTIONS),
      await ort.InferenceSession.create(logitsGraph(), SESSION_OPTIONS),
      await ort.InferenceSession.create(gramGraph(), SESSION_OPTIONS),
      await ort.InferenceSession.create(rootGraph(), SESSION_OPTIONS),
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
   * The log-partitions of a block's rows, and the gradient of their weighted sums, Σ wᵢ pᵢ xᵢᵀ and Σ wᵢ pᵢ.
   * @param into takes the gradient of this block and of those before. Arrays of its own would be collected as garbage all the time
   * @param features X [rows × width], row-major
   * @param weights w [heads × rows]
   * @param parameters of all heads: W [heads × N × width] and b [heads × N]
   * @param count N
   * @param before the gradient of the blocks before this one
   * @returns A, each row's log-partition for each head, in nats; [rows × heads]
   */
  async addGradient(
    into: Parameters,
    features: Float32Array,
    weights: Float32Array,
    { W, b }: Parameters,
    count: number,
    before: Parameters,
  ): Promise<Float32Array> {
    const width = W.length / b.length;
    const [rows, heads] = [features.length / width, b.length / count];
    const { A } = await this.gradientSession.run(
      {
        X: new ort.Tensor('float32', features, [rows, width]),
        w: new ort.Tensor('float32', weights, [heads, 1, rows]),
        W: new ort.Tensor('float32', W, [b.length, width]),
        b: new ort.Tensor('float32', b, [b.length]),
        shape: new ort.Tensor('int64', BigInt64Array.of(BigInt(rows), BigInt(heads), BigInt(count)), [3]),
        dWBefore: new ort.Tensor('float32', before.W, [b.length, width]),
        dbBefore: new ort.Tensor('float32', before.b, [b.length]),
      },
      {
        A: null,
        dW: new ort.Tensor('float32', into.W, [b.length, width]),
        db: new ort.Tensor('float32', into.b, [b.length]),
      },
    );
    return floats(A);
  }

  /**
   * X Wᵀ + b.
   * @param features X [rows × width], row-major
   * @param into takes the result. @default a new array
   * @returns [rows × N], row-major
   */
  async logits(features: Float32Array, { W, b }: Parameters, into?: Float32Array): Promise<Float32Array> {
    const width = W.length / b.length;
    const rows = features.length / width;
    const { logits } = await this.logitsSession.run(
      {
        X: new ort.Tensor('float32', features, [rows, width]),
        W: new ort.Tensor('float32', W, [b.length, width]),
        b: new ort.Tensor('float32', b, [b.length]),
      },
      { logits: into ? new ort.Tensor('float32', into, [rows, b.length]) : null },
    );
    return floats(logits);
  }

  /**
   * S + XᵀX.
   * @param S [width × width]
   * @param features X [rows × width], row-major
   */
  async addGram(S: Float32Array, features: Float32Array): Promise<Float32Array> {
    const width = Math.sqrt(S.length);
    const { sum } = await this.gramSession.run({
      S: new ort.Tensor('float32', S, [width, width]),
      X: new ort.Tensor('float32', features, [features.length / width, width]),
    });
    return floats(sum);
  }

  /**
   * A step of Newton and Schulz's iteration to a square root: Y ← Y M and Z ← M Z with M = μ (3I − μ² Z Y) / 2.
   * @param Y [width × width]
   * @param Z [width × width]
   * @param factor μ
   */
  async rootStep(Y: Float32Array, Z: Float32Array, factor: number): Promise<[Float32Array, Float32Array]> {
    const shape = [Math.sqrt(Y.length), Math.sqrt(Y.length)];
    const { nextY, nextZ } = await this.rootSession.run({
      Y: new ort.Tensor('float32', Y, shape),
      Z: new ort.Tensor('float32', Z, shape),
      linear: new ort.Tensor('float32', [1.5 * factor], []),
      cubic: new ort.Tensor('float32', [factor ** 3 / 2], []),
    });
    return [floats(nextY), floats(nextZ)];
  }

  /** Frees the sessions. Nothing can be computed any more. */
  async release(): Promise<void> {
    await this.rootSession.release();
    await this.gramSession.release();
    await this.gradientSession.release();
    await this.logitsSession.release();
  }
}

function floats(tensor: Tensor | undefined): Float32Array {
  if (!(tensor?.data instanceof Float32Array)) throw new TypeError('The graph of the head lacks an output.');
  return tensor.data;
}

/** The log-partition of each row for each head, and its gradient summed over rows with their weights. */
function gradientGraph({ partitionNodes }: Task): Uint8Array {
  return encodeModel(
    model({
      name: 'head-gradient',
      inputs: [
        tensorInfo('X', ['rows', 'width']),
        tensorInfo('w', ['heads', 1, 'rows']),
        tensorInfo('W', ['columns', 'width']),
        tensorInfo('b', ['columns']),
        tensorInfo('shape', [3], 'int64'),
        tensorInfo('dWBefore', ['columns', 'width']),
        tensorInfo('dbBefore', ['columns']),
      ],
      initializers: [
        initializer('rowAxis', [1], [1]),
        initializer('classAxis', [1], [2]),
        initializer('first', [], [0]),
      ],
      nodes: [
        node('Gemm', ['X', 'W', 'b'], ['columns'], { transB: 1 }),
        node('Reshape', ['columns', 'shape'], ['logits']),
        ...partitionNodes,
        // Transposed here, as onnxruntime multiplies by a matrix that it has to transpose itself a quarter slower.
        node('Transpose', ['P'], ['byClass'], { perm: [1, 2, 0] }),
        node('Mul', ['byClass', 'w'], ['weighted']),
        node('Flatten', ['weighted'], ['residual'], { axis: 2 }),
        node('Gemm', ['residual', 'X', 'dWBefore'], ['dW']),
        node('ReduceSum', ['residual', 'rowAxis'], ['dbHere'], { keepdims: 0 }),
        node('Add', ['dbHere', 'dbBefore'], ['db']),
      ],
      outputs: [
        tensorInfo('A', ['rows', 'heads']),
        tensorInfo('dW', ['columns', 'width']),
        tensorInfo('db', ['columns']),
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

/** S + XᵀX. */
function gramGraph(): Uint8Array {
  const matrix = ['width', 'width'];
  return encodeModel(
    model({
      name: 'gram',
      inputs: [tensorInfo('S', matrix), tensorInfo('X', ['rows', 'width'])],
      initializers: [],
      nodes: [node('Gemm', ['X', 'X', 'S'], ['sum'], { transA: 1 })],
      outputs: [tensorInfo('sum', matrix)],
    }),
  );
}

/** See {@link HeadGraph.rootStep}. */
function rootGraph(): Uint8Array {
  const matrix = ['width', 'width'];
  return encodeModel(
    model({
      name: 'square-root',
      inputs: [tensorInfo('Y', matrix), tensorInfo('Z', matrix), tensorInfo('linear', []), tensorInfo('cubic', [])],
      initializers: [],
      nodes: [
        node('MatMul', ['Z', 'Y'], ['product']),
        node('EyeLike', ['Y'], ['identity']),
        node('Mul', ['identity', 'linear'], ['first']),
        node('Mul', ['product', 'cubic'], ['second']),
        node('Sub', ['first', 'second'], ['M']),
        node('MatMul', ['Y', 'M'], ['nextY']),
        node('MatMul', ['M', 'Z'], ['nextZ']),
      ],
      outputs: [tensorInfo('nextY', matrix), tensorInfo('nextZ', matrix)],
    }),
  );
}
