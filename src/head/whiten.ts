import { Matrix } from '../util/matrix.js';
import { featuresOf, type Examples, type FeatureTransform } from './examples.js';
import type { HeadGraph } from './objective.js';
import { foldScaling, Moments, standardize } from './standardize.js';
import type { RowMask } from './task.js';

/** A linear map of features to train on, and the way back. */
export interface HeadTransform extends FeatureTransform {
  /** The covariance of the mapped features that it was learnt from, whose means are 0; [D × D]. Unknown if nothing was learnt. */
  readonly covariance?: Float32Array | undefined;
  /**
   * Turns W z + b on mapped features z into the same logits on raw ones.
   * @param weights W [N × D], row-major
   * @param bias b [N]
   * @returns both rounded to float32, as a head's file holds them
   */
  fold(weights: Float64Array, bias: Float64Array): Promise<{ weights: Matrix; bias: Float32Array }>;
}

/** Leaves features as they are. */
export const noTransform: HeadTransform = {
  apply: (features) => Promise.resolve(features),
  fold: (weights, bias) =>
    Promise.resolve({
      weights: Matrix.from1DArray(bias.length, weights.length / bias.length, Float32Array.from(weights)),
      bias: Float32Array.from(bias),
    }),
};

/**
 * ρ, as a fraction of the mean variance. Directions that hardly vary stay as they are; on photographs, 0.001 and 1 gave no better
 * heads.
 */
const SHRINKAGE = 0.1;

/**
 * Half whitens features: z = k (S + ρI)^−¼ (x − mean) / deviation, where S is the covariance of the standardised features of the
 * masked rows, augmented views included, and k makes the mean variance 1. The penalty λ/2 ‖W‖² is then λ/2 tr(V (S + ρI)^½ Vᵀ) / k²
 * on the weights V of standardised features. With ‖V‖², the few directions in which all pictures vary most are almost free, and most
 * of what tells similar classes apart is not; with −½ in place of −¼, all directions cost the same, and noise is learnt. Half way is
 * best on photographs (docs/training.md), and the objective is easier to minimise, too.
 */
export async function learnWhitening(graph: HeadGraph, examples: Examples, mask: RowMask): Promise<HeadTransform> {
  const { source, targets } = examples;
  const { width } = source;
  const isUsed = (row: number) => targets[row]! >= 0 && mask(row);
  const moments = new Moments(width);
  for await (const features of featuresOf(source, isUsed)) moments.add(features);
  const scaling = moments.scaling();
  let S: Float32Array = new Float32Array(width * width);
  for await (const features of featuresOf(source, isUsed)) S = await graph.addGram(S, standardize(features, scaling));
  const { T, covariance } = await whitener(
    graph,
    S.map((value) => value / moments.count),
    width,
  );
  const none = new Float32Array(width);
  return {
    covariance,
    apply: (features) => graph.logits(standardize(features, scaling), { W: T, b: none }),
    fold: async (weights, bias) => {
      const folded = await graph.logits(Float32Array.from(weights), { W: transpose(T, width), b: none });
      return foldScaling(Matrix.from1DArray(bias.length, width, folded), bias, scaling);
    },
  };
}

/** T = k (S + ρI)^−¼, and T S T. @param S [width × width], to which ρI is added */
async function whitener(graph: HeadGraph, S: Float32Array, width: number) {
  const variance = trace(S, width);
  const rho = variance > 0 ? (SHRINKAGE * variance) / width : 1;
  addToDiagonal(S, width, rho);
  const half = await squareRoot(graph, S, width, rho);
  const quarter = await squareRoot(graph, half.inverse, width, 1 / Math.sqrt(half.largest));
  // With T = (S + ρI)^−¼, T S T = (S + ρI)^½ − ρ (S + ρI)^−½.
  const mapped = half.root.map((value, at) => value - rho * half.inverse[at]!);
  const k = variance > 0 ? Math.sqrt(width / trace(mapped, width)) : 1;
  return { T: quarter.root.map((value) => k * value), covariance: mapped.map((value) => k * k * value) };
}

/** The square root has converged once all eigenvalues of its estimate are within this of their limit, relatively. */
const ENOUGH = 1e-7;

/**
 * A^½ and A^−½ by Newton and Schulz's iteration, which takes products of matrices alone, with the factors of Chen and Chow (2014, "A
 * stable scaling of Newton-Schulz for improving the sign function computation of a Hermitian matrix") to halve its steps.
 * @param A symmetric [width × width]
 * @param least at most A's least eigenvalue, above 0
 * @returns also a bound of A's largest eigenvalue
 */
export async function squareRoot(
  graph: HeadGraph,
  A: Float32Array,
  width: number,
  least: number,
  enough = ENOUGH,
): Promise<{ root: Float32Array; inverse: Float32Array; largest: number }> {
  let largest = 0;
  for (let at = 0; at < A.length; at += width) {
    largest = Math.max(
      largest,
      A.subarray(at, at + width).reduce((sum, value) => sum + Math.abs(value), 0),
    );
  }
  let Y: Float32Array = A.map((value) => value / largest);
  let Z: Float32Array = A.map((_, at) => (at % (width + 1) === 0 ? 1 : 0));
  let lowest = Math.sqrt(least / largest);
  while (1 - lowest > enough) {
    const factor = Math.sqrt(3 / (1 + lowest + lowest ** 2));
    [Y, Z] = await graph.rootStep(Y, Z, factor);
    lowest = (factor * lowest * (3 - (factor * lowest) ** 2)) / 2;
  }
  const size = Math.sqrt(largest);
  return { root: Y.map((value) => size * value), inverse: Z.map((value) => value / size), largest };
}

/** A ← A + value · I, in place. */
export function addToDiagonal(A: Float32Array, width: number, value: number): void {
  for (let at = 0; at < A.length; at += width + 1) A[at]! += value;
}

function trace(matrix: Float32Array, width: number): number {
  let total = 0;
  for (let at = 0; at < matrix.length; at += width + 1) total += matrix[at]!;
  return total;
}

/** The transpose of a matrix, row-major. @param width how many columns it has */
export function transpose(values: Float32Array, width: number): Float32Array {
  const rows = values.length / width;
  const result = new Float32Array(values.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < width; j++) result[j * rows + i] = values[i * width + j]!;
  return result;
}
