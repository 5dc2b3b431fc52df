import { sum } from '../util/math.js';
import { EigenvalueDecomposition, Matrix } from '../util/matrix.js';
import { countRows, evaluationBlocks, type ExampleBlock, type Examples, type FeatureTransform } from './examples.js';
import { toParameters, type HeadGraph, type Parameters } from './objective.js';
import type { RowMask } from './task.js';
import { transpose } from './whiten.js';

/**
 * Finding the axes of `width` features takes as long as some hundred evaluations of an objective whose rows × columns are three times
 * `width`², where every head has a column per class, and saves as many.
 */
const COLUMNS_PER_AXIS = 3;

/** Smaller objectives are minimised in no time. */
const LEAST_LOGITS = 2 ** 17;

/** Rows that the axes and the curvature are estimated from. Neither needs to be exact. */
const ROWS_FOR_AXES = 16_384;
const ROWS_FOR_CURVATURE = 1_024;

/** The axes of more classes than this take longer than they save. */
const MOST_CLASSES = 256;

/** Keep divisors above 0 where every row is certain, or where λ is 0 and features do not vary. */
const LEAST_CURVATURE = 1e-6;
const FLOOR = 1e-6;

/** Coordinates u of the parameters x of several heads around a start each: x = start + T u. */
export interface Coordinates {
  /** All heads' parameters. */
  toParameters(points: readonly Float64Array[]): Promise<Parameters>;
  /** From the gradient by all heads' parameters, Tᵀ ∇f of each: the gradients by u. */
  toGradients(gradient: Parameters): Promise<Float64Array[]>;
}

/** A preconditioner for the masked rows if there are so many that it pays. @param heads that are trained at once */
export async function preconditionerFor(
  graph: HeadGraph,
  examples: Examples,
  mask: RowMask,
  transform: FeatureTransform,
  heads = 1,
): Promise<Preconditioner | undefined> {
  const rows = countRows(examples, mask);
  const { width } = examples.source;
  if (rows * examples.names.length * heads < Math.max(LEAST_LOGITS, COLUMNS_PER_AXIS * width ** 2)) return undefined;
  return Preconditioner.create(graph, evaluationBlocks(examples, mask, transform), width, rows);
}

/**
 * An approximation of the objective's Hessian, in whose coordinates L-BFGS takes half to a third of the evaluations to the same
 * optimum, so correlated are a backbone's features, half whitened, too. The Hessian is Σᵢ Aᵢ ⊗ xᵢ xᵢᵀ / M + λI, with Aᵢ = diag pᵢ − pᵢ pᵢᵀ for
 * classes and diag pᵢ (1 − pᵢ) for labels. Here it is Ā ⊗ S + λI, with the mean Ā of Aᵢ and S = XᵀX / M, as Martens and Grosse
 * (2015, "Optimizing Neural Networks with Kronecker-factored Approximate Curvature", section 3) do for a network's layer. With
 * Ā = U diag(α) Uᵀ and S = Q diag(σ) Qᵀ, W = U (V ∘ d) Qᵀ has the curvature 1 in all directions if dₙⱼ = (αₙ σⱼ + λ)^−½.
 */
export class Preconditioner {
  private constructor(
    private readonly graph: HeadGraph,
    /** Of S. */
    private readonly axes: Axes,
    /** Some rows of the features. */
    private readonly sample: Float32Array,
  ) {}

  /**
   * @param blocks the data, read once
   * @param rows how many rows they have
   * @returns undefined if the features are too large for float32
   */
  static async create(
    graph: HeadGraph,
    blocks: Iterable<ExampleBlock> | AsyncIterable<ExampleBlock>,
    width: number,
    rows: number,
  ): Promise<Preconditioner | undefined> {
    const chosen = await everyNth(blocks, width, rows, ROWS_FOR_AXES);
    const count = chosen.length / width;
    const sums = await graph.addGram(new Float32Array(width * width), chosen);
    const S = sums.map((value) => value / count);
    if (!S.every(Number.isFinite)) return undefined;
    const axes = eigen(Matrix.from1DArray(width, width, S));
    return new Preconditioner(graph, axes, await everyNth([{ features: chosen }], width, count, ROWS_FOR_CURVATURE));
  }

  /**
   * The coordinates in which the objective is about as curved in all directions near the first start.
   * @param starts each head's W [N × width] then b [N]
   * @param l2 λ
   */
  async at(starts: readonly Float64Array[], count: number, l2: number): Promise<Coordinates> {
    const { graph } = this;
    const { Q, transposed, values: sigma } = this.axes;
    const width = sigma.length;
    const { axes, values: alpha } = await this.curvature(starts[0]!, count);
    const none = new Float32Array(width);
    const least = sum(alpha) / count / 100 + LEAST_CURVATURE;
    const ofBias = alpha.map((value) => 1 / Math.sqrt(Math.max(value, least)));
    const d = new Float64Array(count * width);
    for (let n = 0, k = 0; n < count; n++) {
      const floor = Math.max(l2, Math.max(alpha[n]!, least) * FLOOR);
      for (let j = 0; j < width; j++) d[k++] = 1 / Math.sqrt(alpha[n]! * sigma[j]! + floor);
    }
    const size = count * width;
    const rotate = (
      left: Float32Array | undefined,
      values: Float32Array,
      right: Float32Array,
      rightTransposed: Float32Array,
    ) => (left ? graph.rotate(left, values, right) : graph.logits(values, { W: rightTransposed, b: none }));
    return {
      toParameters: async (points) => {
        const V = new Float32Array(points.length * size);
        points.forEach((u, h) => {
          multiply(V.subarray(h * size, (h + 1) * size), u, d);
        });
        const W = await rotate(axes?.Q, V, transposed, Q);
        const b = new Float32Array(points.length * count);
        points.forEach((u, h) => {
          const start = starts[h]!;
          add(W.subarray(h * size, (h + 1) * size), start);
          const scaled = u.subarray(size).map((value, n) => value * ofBias[n]!);
          const bias = axes ? product(axes.Q, scaled) : scaled;
          for (let n = 0; n < count; n++) b[h * count + n] = start[size + n]! + bias[n]!;
        });
        return { W, b };
      },
      toGradients: async (gradient) => {
        const V = await rotate(axes?.transposed, gradient.W, Q, transposed);
        return starts.map((_, h) => {
          const result = new Float64Array(size + count);
          multiply(result, V.subarray(h * size, (h + 1) * size), d);
          const ofHead = Float64Array.from(gradient.b.subarray(h * count, (h + 1) * count));
          const bias = axes ? product(axes.transposed, ofHead) : ofHead;
          for (let n = 0; n < count; n++) result[size + n] = bias[n]! * ofBias[n]!;
          return result;
        });
      },
    };
  }

  /**
   * U and α over some rows. Without axes, α is the diagonal of Ā: for labels, which is all of it, and, as a mean, for more classes
   * than one finds axes of.
   */
  private async curvature(x: Float64Array, count: number): Promise<{ axes?: Axes; values: Float64Array }> {
    const { task } = this.graph;
    const logits = await this.graph.logits(this.sample, toParameters(x, count));
    const rows = logits.length / count;
    const p = new Float64Array(count);
    const isFull = task.hasClasses && count <= MOST_CLASSES;
    const sums = new Float64Array(isFull ? count * count : 0);
    const diagonal = new Float64Array(count);
    for (let at = 0; at < logits.length; at += count) {
      task.probabilities(p, logits, at, 1);
      for (let n = 0; n < count; n++) {
        diagonal[n]! += (p[n]! * (1 - p[n]!)) / rows;
        if (isFull) for (let m = 0; m < count; m++) if (m !== n) sums[n * count + m]! -= (p[n]! * p[m]!) / rows;
      }
    }
    if (isFull) {
      diagonal.forEach((value, n) => (sums[n * (count + 1)] = value));
      const axes = eigen(Matrix.from1DArray(count, count, sums));
      return { axes, values: axes.values };
    }
    const mean = sum(diagonal) / count;
    return { values: task.hasClasses ? diagonal.fill(mean) : diagonal };
  }
}

/** A symmetric matrix as Q diag(values) Qᵀ, and Qᵀ, both row-major. */
interface Axes {
  Q: Float32Array;
  transposed: Float32Array;
  values: Float64Array;
}

/** Values below 0, which only rounding errors can give, become 0. */
function eigen(matrix: Matrix): Axes {
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(matrix, { assumeSymmetric: true });
  const Q = Float32Array.from(eigenvectorMatrix.to1DArray());
  return {
    Q,
    transposed: transpose(Q, matrix.columns),
    values: Float64Array.from(realEigenvalues, (value) => Math.max(0, value)),
  };
}

/** into ← a ∘ b, as far as b goes. */
function multiply(into: Float32Array | Float64Array, a: Float32Array | Float64Array, b: Float64Array): void {
  for (let k = 0; k < b.length; k++) into[k] = a[k]! * b[k]!;
}

/** a ← a + b, as far as a goes. */
function add(a: Float32Array, b: Float64Array): void {
  for (let k = 0; k < a.length; k++) a[k]! += b[k]!;
}

/** A v of a square matrix. */
function product(matrix: Float32Array, vector: Float64Array): Float64Array {
  const size = vector.length;
  return vector.map((_, n) => {
    let sum = 0;
    for (let m = 0; m < size; m++) sum += matrix[n * size + m]! * vector[m]!;
    return sum;
  });
}

/** At most `most` rows, evenly spaced, since neighbours are often of one class. @param rows how many there are */
async function everyNth(
  blocks: Iterable<Pick<ExampleBlock, 'features'>> | AsyncIterable<ExampleBlock>,
  width: number,
  rows: number,
  most: number,
): Promise<Float32Array> {
  const step = Math.ceil(rows / most);
  const chosen = new Float32Array(Math.ceil(rows / step) * width);
  let [seen, filled] = [0, 0];
  for await (const { features } of blocks) {
    for (let at = 0; at < features.length; at += width) {
      if (seen++ % step !== 0 || filled >= chosen.length) continue;
      chosen.set(features.subarray(at, at + width), filled);
      filled += width;
    }
  }
  return chosen.subarray(0, filled);
}
