import { sum } from '../util/math.js';
import { countLabels, countRows, type Examples } from './examples.js';
import type { HeadGraph, Parameters } from './objective.js';
import type { RowMask } from './task.js';
import { addToDiagonal, squareRoot, type HeadTransform } from './whiten.js';

/**
 * Coordinates for a λ take as long as a few evaluations of an objective whose rows × columns are a quarter of the features' number
 * squared, where every head has a column per class, and save more of them. Smaller objectives are minimised in no time.
 */
const COLUMNS_PER_FEATURE = 1 / 4;
const LEAST_LOGITS = 2 ** 16;

/**
 * The curvature of the mean row, as a share of what it is where all rows get the classes' shares as probabilities: rows become
 * certain as the head learns. Anything from a twentieth to the whole takes about as many evaluations.
 */
const SHARE_OF_CURVATURE = 0.2;

/** Keeps divisors above 0 where features do not vary and λ is 0; a share of the curvature in the mean direction. */
const FLOOR = 1e-3;

/** How near the matrices are to what they are meant to be, relatively. They need not be. */
const ENOUGH = 0.01;

/** Coordinates u of the parameters x of several heads around a start each: x = start + T u. */
export interface Coordinates {
  /** All heads' parameters, until they are asked for again. */
  toParameters(points: readonly Float64Array[]): Promise<Parameters>;
  /**
   * From the gradient by all heads' parameters, Tᵀ ∇f of each: the gradients by u.
   * @param into arrays to write them to. @default new ones
   */
  toGradients(gradient: Parameters, into: readonly (Float64Array | undefined)[]): Promise<Float64Array[]>;
}

/**
 * A preconditioner for the masked rows if there are so many that it pays, and the features' covariance is known.
 * @param heads that are trained at once
 */
export function preconditionerFor(
  graph: HeadGraph,
  examples: Examples,
  mask: RowMask,
  { covariance }: HeadTransform,
  heads = 1,
): Preconditioner | undefined {
  const { names, source } = examples;
  const rows = countRows(examples, mask);
  const least = Math.max(LEAST_LOGITS, COLUMNS_PER_FEATURE * source.width ** 2);
  if (!covariance || rows * names.length * heads < least) return undefined;
  const shares = countLabels(examples, mask).map((count) => count / rows);
  return new Preconditioner(graph, covariance, sum(shares.map((share) => share * (1 - share))) / names.length);
}

/**
 * An approximation of the objective's Hessian, in whose coordinates L-BFGS takes half to a third of the evaluations to the same
 * optimum, so correlated are a backbone's features, half whitened, too. The Hessian is Σᵢ Aᵢ ⊗ xᵢ xᵢᵀ / M + λI, with Aᵢ = diag pᵢ − pᵢ pᵢᵀ for
 * classes and diag pᵢ (1 − pᵢ) for labels. Here it is α I ⊗ S + λI, with the covariance S of the features and a number α. So
 * W = V (αS + λI)^−½ has about the same curvature in all directions. The mean of Aᵢ in place of αI, with its eigenvectors, takes no
 * fewer evaluations.
 */
export class Preconditioner {
  /** (αS + λI)^−½ by λ. */
  private readonly roots = new Map<number, Promise<Float32Array>>();
  private readonly alpha: number;

  /**
   * @param covariance S [width × width] of the features, whose means are 0
   * @param curvature of the log loss along a logit, the mean over rows and classes or labels where nothing is learnt yet
   */
  constructor(
    private readonly graph: HeadGraph,
    private readonly covariance: Float32Array,
    curvature: number,
  ) {
    this.alpha = SHARE_OF_CURVATURE * curvature;
  }

  /**
   * The coordinates in which the objective is about as curved in all directions.
   * @param starts each head's W [N × width] then b [N]
   * @param l2 λ
   */
  async at(starts: readonly Float64Array[], count: number, l2: number): Promise<Coordinates> {
    const root = await this.rootOf(l2);
    const width = Math.sqrt(root.length);
    const size = count * width;
    const none = new Float32Array(width);
    const rotate = (values: Float32Array, into: Float32Array) => this.graph.logits(values, { W: root, b: none }, into);
    const [V, W] = [new Float32Array(starts.length * size), new Float32Array(starts.length * size)];
    const b = new Float32Array(starts.length * count);
    const ofBias = 1 / Math.sqrt(this.alpha);
    return {
      toParameters: async (points) => {
        points.forEach((u, h) => {
          V.set(u.subarray(0, size), h * size);
        });
        await rotate(V, W);
        points.forEach((u, h) => {
          const start = starts[h]!;
          for (let k = 0, at = h * size; k < size; k++, at++) W[at]! += start[k]!;
          for (let n = 0; n < count; n++) b[h * count + n] = start[size + n]! + ofBias * u[size + n]!;
        });
        return { W, b };
      },
      toGradients: async (slopes, into) => {
        await rotate(slopes.W, V);
        return starts.map((_, h) => {
          const result = into[h] ?? new Float64Array(size + count);
          result.set(V.subarray(h * size, (h + 1) * size));
          for (let n = 0; n < count; n++) result[size + n] = ofBias * slopes.b[h * count + n]!;
          return result;
        });
      },
    };
  }

  private rootOf(l2: number): Promise<Float32Array> {
    const known = this.roots.get(l2);
    if (known) return known;
    const width = Math.sqrt(this.covariance.length);
    const A = this.covariance.map((value) => this.alpha * value);
    const least = Math.max(l2, FLOOR * this.alpha);
    addToDiagonal(A, width, least);
    const root = squareRoot(this.graph, A, width, least, ENOUGH).then(({ inverse }) => inverse);
    this.roots.set(l2, root);
    return root;
  }
}
