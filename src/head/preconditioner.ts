import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { countRows, evaluationBlocks, type ExampleBlock, type Examples } from './examples.js';
import { toParameters, type HeadGraph } from './objective.js';
import type { Scaling } from './standardize.js';
import type { RowMask } from './task.js';

/** Worth it from this many rows × classes: finding the axes takes about as long as ten evaluations of so large an objective. */
export const PRECONDITION_FROM = 1_000_000;

/** Rows that the axes and the curvature are estimated from. Neither needs to be exact. */
const ROWS_FOR_AXES = 16_384;
const ROWS_FOR_CURVATURE = 1_024;

/** Keep divisors above 0 where every row is certain, or where λ is 0 and features do not vary. */
const LEAST_CURVATURE = 1e-6;
const FLOOR = 1e-6;

/** The approximate inverse of a Hessian times a vector of parameters. */
type Precondition = (v: Float64Array) => Promise<Float64Array>;

/** A preconditioner for the masked rows if there are so many that it pays. @param scaling of their features */
export async function preconditionerFor(
  graph: HeadGraph,
  examples: Examples,
  mask: RowMask,
  scaling: Scaling | undefined,
): Promise<Preconditioner | undefined> {
  const rows = countRows(examples, mask);
  if (!scaling || rows * examples.names.length < PRECONDITION_FROM) return undefined;
  return Preconditioner.create(graph, evaluationBlocks(examples, mask, scaling), examples.source.width, rows);
}

/**
 * An approximation of the objective's Hessian for L-BFGS to start from. The Hessian is
 * Σᵢ (diag pᵢ − pᵢ pᵢᵀ) ⊗ xᵢ xᵢᵀ / M + λI. Here each pᵢ's matrix is replaced by one number c, the mean of p (1 − p), much as
 * Böhning (1992, "Multinomial logistic regression algorithm", Annals of the Institute of Statistical Mathematics 44)
 * replaces it by its bound: c S + λI for each class, with S = XᵀX / M = Q diag(σ) Qᵀ. A backbone's features are so
 * correlated that without it L-BFGS takes 3 to 6 times as many evaluations to the same optimum.
 */
export class Preconditioner {
  private constructor(
    private readonly graph: HeadGraph,
    /** Q, row-major, and σ. */
    private readonly axes: { Q: Float32Array; sigma: Float64Array },
    /** Some rows of the features. */
    private readonly sample: Float32Array,
  ) {}

  /** @param blocks the data, read once. @param rows how many rows they have */
  static async create(
    graph: HeadGraph,
    blocks: Iterable<ExampleBlock> | AsyncIterable<ExampleBlock>,
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

  /** (c S + λI)⁻¹ for W, and 1 / c for b. @param x W [N × width] then b [N], at which the curvature c is taken */
  async at(x: Float64Array, count: number, l2: number): Promise<Precondition> {
    const { graph } = this;
    const { Q, sigma } = this.axes;
    const width = sigma.length;
    const c = await this.curvature(x, count);
    const scaled = Q.map((value, k) => value / (c * sigma[k % width]! + Math.max(l2, c * FLOOR)));
    const inverse = {
      W: await graph.logits(scaled, { W: Q, b: new Float32Array(width) }),
      b: new Float32Array(width),
    };
    return async (v) => {
      const result = v.map((value) => value / c);
      const W = Float32Array.from(v.subarray(0, count * width));
      result.set(await graph.logits(W, inverse));
      return result;
    };
  }

  /** The mean of p (1 − p) over some rows and all classes. */
  private async curvature(x: Float64Array, count: number): Promise<number> {
    const logits = await this.graph.logits(this.sample, toParameters(x, count));
    const p = new Float64Array(count);
    let sum = 0;
    for (let at = 0; at < logits.length; at += count) {
      this.graph.task.probabilities(p, logits, at, 1);
      for (const each of p) sum += each * (1 - each);
    }
    return Math.max(sum / logits.length, LEAST_CURVATURE);
  }
}

/** At most `most` rows, evenly spaced, since neighbours are often of one class. */
async function everyNth(
  blocks: Iterable<ExampleBlock> | AsyncIterable<ExampleBlock>,
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
