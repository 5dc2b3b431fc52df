import { Matrix } from 'ml-matrix';
import { scale as scaleBy } from './vector.js';

/**
 * A feature whose standard deviation is below this part of its mean is taken for constant: float32 features that differ
 * by no more differ by rounding errors.
 */
const CONSTANT = 1e-6;
/** Below this a feature is constant whatever its mean, or weights divided by it would leave float32's range. */
const TINY = 1e-30;

/** What z = (x − mean) / scale needs; each [width]. */
export interface Scaling {
  mean: Float64Array;
  /** The standard deviation; 1 for a constant feature. */
  scale: Float64Array;
}

/**
 * The mean and standard deviation of each feature, dividing by the number of rows as scikit-learn's StandardScaler does,
 * in float64 and two passes.
 * @param features [rows × width] row-major, finite, at least one row
 */
export function fitScaling(features: Float32Array, width: number): Scaling {
  const rows = features.length / width;
  const mean = new Float64Array(width);
  for (let start = 0; start < features.length; start += width) {
    for (let j = 0; j < width; j++) mean[j] = (mean[j] ?? 0) + (features[start + j] ?? 0);
  }
  scaleBy(mean, 1 / rows);

  const variance = new Float64Array(width);
  for (let start = 0; start < features.length; start += width) {
    for (let j = 0; j < width; j++) {
      const deviation = (features[start + j] ?? 0) - (mean[j] ?? 0);
      variance[j] = (variance[j] ?? 0) + deviation * deviation;
    }
  }
  const scale = variance.map((sum, j) => {
    const deviation = Math.sqrt(sum / rows);
    return deviation > Math.max(TINY, CONSTANT * Math.abs(mean[j] ?? 0)) ? deviation : 1;
  });
  return { mean, scale };
}

/**
 * (x − mean) / scale, computed in float64.
 * @param features [rows × width] row-major
 * @returns the same shape; a constant feature becomes 0, give or take rounding errors
 */
export function standardize(features: Float32Array, { mean, scale }: Scaling): Float32Array {
  const width = mean.length;
  const result = new Float32Array(features.length);
  for (let start = 0; start < features.length; start += width) {
    for (let j = 0; j < width; j++) {
      result[start + j] = ((features[start + j] ?? 0) - (mean[j] ?? 0)) / (scale[j] ?? 1);
    }
  }
  return result;
}

/**
 * Turns W z + b on standardised features z into the same logits on raw ones: W′ = W / scale and b′ = b − W′ mean.
 * @param weights W [N, width]
 * @param bias b [N]
 * @returns W′ and b′, rounded to float32 as a head's file holds them; b′ makes up for the rounding of W′ at the mean
 */
export function foldScaling(
  weights: Matrix,
  bias: Float64Array,
  { mean, scale }: Scaling,
): { weights: Matrix; bias: Float32Array } {
  const folded = new Matrix(
    weights.to2DArray().map((row) => row.map((w, j) => Math.fround(w / (scale[j] ?? 1)))),
  );
  const shift = folded.mmul(Matrix.columnVector(mean));
  return { weights: folded, bias: Float32Array.from(bias, (b, n) => b - shift.get(n, 0)) };
}
