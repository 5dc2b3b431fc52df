import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { sigmoid, softmaxInto } from '../util/math.js';
import { type Examples, generateBlocks, type Part } from './examples.js';
import { type RowBlock, type SoftmaxGraph, toParameters } from './objective.js';
import type { Scaling } from './standardize.js';

/** Rows × classes from which it pays: to find the axes takes about as long as ten evaluations of so large an objective. */
const PRECONDITION_FROM = 1_000_000;

/** Rows that the axes are found by, and those that the curvature is: both need not be exact. */
const ROWS_FOR_AXES = 16_384;
const ROWS_FOR_CURVATURE = 1_024;

/** The approximate inverse of a Hessian times a vector of parameters. */
type Precondition = (v: Float64Array) => Promise<Float64Array>;

/**
 * An approximation of the objective's Hessian for L-BFGS to start from. The Hessian is Σᵢ (diag pᵢ − pᵢ pᵢᵀ) ⊗ xᵢ xᵢᵀ / M + λI;
 * here every pᵢ's matrix is replaced by one number c, the mean of p (1 − p), as Böhning (1992, "Multinomial logistic
 * regression algorithm", Annals of the Institute of Statistical Mathematics 44) replaces it by its bound: c S + λI for each
 * class, with S = XᵀX / M = Q diag(σ) Qᵀ. Features of a network are so correlated that L-BFGS without it takes 3 to 6 times
 * as many evaluations to the same optimum.
 */
export class Preconditioner {
  private constructor(
    private readonly graph: SoftmaxGraph,
    /** Q, row-major, and σ. */
    private readonly axes: { Q: Float32Array; sigma: Float64Array },
    /** Some rows of the features. */
    private readonly sample: Float32Array,
  ) {}

  /** @param blocks the data, gone through once. @param rows how many rows they have */
  static async create(
    graph: SoftmaxGraph,
    blocks: Iterable<RowBlock> | AsyncIterable<RowBlock>,
    width: number,
    rows: number,
  ): Promise<Preconditioner> {
    const chosen = await everyNth(blocks, width, rows, ROWS_FOR_AXES);
    const count = chosen.length / width;
    const transposed = new Float32Array(chosen.length);
    for (let i = 0; i < count; i++) {
      for (let j = 0; j < width; j++) transposed[j * count + i] = chosen[i * width + j]!;
    }
    const products = await graph.logits(transposed, { W: transposed, b: new Float32Array(width) });
    const S = Matrix.from1DArray(width, width, products).div(count);
    const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(S, { assumeSymmetric: true });
    const Q = Float32Array.from(eigenvectorMatrix.to1DArray());
    const sigma = Float64Array.from(realEigenvalues, (value) => Math.max(0, value));
    return new Preconditioner(graph, { Q, sigma }, chosen.slice(0, ROWS_FOR_CURVATURE * width));
  }

  /**
   * (c S + λI)⁻¹ for W, and 1 / c for b.
   * @param x W [classes × width] then b [classes], at which the curvature c is taken
   */
  async at(x: Float64Array, classes: number, l2: number): Promise<Precondition> {
    const { graph } = this;
    const { Q, sigma } = this.axes;
    const width = sigma.length;
    const c = await this.curvature(x, classes);
    const scaled = Q.map((value, k) => value / (c * sigma[k % width]! + Math.max(l2, c * FLOOR)));
    const inverse = {
      W: await graph.logits(scaled, { W: Q, b: new Float32Array(width) }),
      b: new Float32Array(width),
    };
    return async (v) => {
      const result = v.map((value) => value / c);
      const W = Float32Array.from(v.subarray(0, classes * width));
      result.set(await graph.logits(W, inverse));
      return result;
    };
  }

  /** The mean of p (1 − p) over some rows and all classes. */
  private async curvature(x: Float64Array, classes: number): Promise<number> {
    const logits = await this.graph.logits(this.sample, toParameters(x, classes));
    const p = new Float64Array(classes);
    let sum = 0;
    for (let at = 0; at < logits.length; at += classes) {
      if (this.graph.kind === 'softmax') softmaxInto(p, logits, at, 1);
      else for (let n = 0; n < classes; n++) p[n] = sigmoid(logits[at + n]!);
      for (const each of p) sum += each * (1 - each);
    }
    return Math.max(sum / logits.length, LEAST_CURVATURE);
  }
}

/** Where every row is certain, and where λ is 0 and features do not vary, nothing may be divided by 0. */
const LEAST_CURVATURE = 1e-6;
const FLOOR = 1e-6;

/**
 * One for a part of the examples, where that is so large that it pays.
 * @param scaling of their features; undefined where there is nothing to fit
 */
export async function preconditionerFor(
  graph: SoftmaxGraph,
  examples: Examples,
  part: Part,
  scaling: Scaling | undefined,
): Promise<Preconditioner | undefined> {
  const rows = examples.classes.reduce((n, c, row) => (c >= 0 && part(row) ? n + 1 : n), 0);
  if (!scaling || rows * examples.names.length < PRECONDITION_FROM) return undefined;
  return Preconditioner.create(graph, generateBlocks(examples, part, scaling), examples.source.width, rows);
}

/** At most so many rows, evenly chosen: neighbours are often of one class. */
async function everyNth(
  blocks: Iterable<RowBlock> | AsyncIterable<RowBlock>,
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
