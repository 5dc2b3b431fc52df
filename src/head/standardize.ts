import { Matrix } from '../util/matrix.js';

/**
 * A feature whose standard deviation is below this fraction of its mean counts as constant: float32 features that differ
 * by no more differ by rounding errors.
 */
const CONSTANT = 1e-6;
/** Below this, a feature is constant whatever its mean, since weights divided by it would exceed the range of float32. */
const TINY = 1e-30;

/** For z = (x − mean) / scale; each [width]. */
export interface Scaling {
  mean: Float64Array;
  /** The standard deviation; 1 for a constant feature. */
  scale: Float64Array;
}

/**
 * The count, mean and sum of squared deviations of rows, in float64. Blocks are joined by the formula of Chan,
 * Golub and LeVeque (1983, "Algorithms for computing the sample variance", equation 2.1), so one pass is as exact as two.
 */
export class Moments {
  private rows = 0;
  private readonly mean: Float64Array;
  private readonly squares: Float64Array;

  /** How many rows there are. */
  get count(): number {
    return this.rows;
  }

  constructor(private readonly width: number) {
    this.mean = new Float64Array(width);
    this.squares = new Float64Array(width);
  }

  /** @param features [rows × width] row-major, finite */
  add(features: Float32Array): this {
    const { width } = this;
    const block = new Moments(width);
    block.rows = features.length / width;
    for (let at = 0; at < features.length; at += width) {
      for (let j = 0; j < width; j++) block.mean[j]! += features[at + j]!;
    }
    for (let j = 0; j < width; j++) block.mean[j] = block.mean[j]! / block.rows;
    for (let at = 0; at < features.length; at += width) {
      for (let j = 0; j < width; j++) {
        const deviation = features[at + j]! - block.mean[j]!;
        block.squares[j]! += deviation * deviation;
      }
    }
    return this.join(block);
  }

  /** Adds the rows of another one. */
  join({ rows, mean, squares }: Moments): this {
    if (rows === 0) return this;
    const total = this.rows + rows;
    for (let j = 0; j < this.width; j++) {
      const difference = mean[j]! - this.mean[j]!;
      this.mean[j]! += (difference * rows) / total;
      this.squares[j] = this.squares[j]! + squares[j]! + (difference * difference * this.rows * rows) / total;
    }
    this.rows = total;
    return this;
  }

  /** Mean and standard deviation, dividing by the number of rows as scikit-learn's StandardScaler does. */
  scaling(): Scaling {
    const scale = this.squares.map((sum, j) => {
      const deviation = Math.sqrt(sum / this.rows);
      return deviation > Math.max(TINY, CONSTANT * Math.abs(this.mean[j]!)) ? deviation : 1;
    });
    return { mean: this.mean.slice(), scale };
  }
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
      result[start + j] = (features[start + j]! - mean[j]!) / scale[j]!;
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
  const folded = new Matrix(weights.to2DArray().map((row) => row.map((w, j) => Math.fround(w / scale[j]!))));
  const shift = folded.mmul(Matrix.columnVector(mean));
  return { weights: folded, bias: Float32Array.from(bias, (b, n) => b - shift.get(n, 0)) };
}
