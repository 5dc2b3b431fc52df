/** Σ vᵢ, from the first to the last. */
export function sum(values: readonly number[] | Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** The mean; null of no values. */
export function mean(values: readonly number[]): number | null {
  return ratio(sum(values), values.length);
}

/** The value that a fraction q of the others are below, to the nearest; NaN of no values. @param sorted ascending */
export function quantile(sorted: readonly number[] | Float64Array, q: number): number {
  return sorted[Math.round(q * (sorted.length - 1))] ?? NaN;
}

/** part / whole; null if the whole is 0. */
export function ratio(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole;
}

/** softmax(z / T) of a row of logits. The largest logit is subtracted first, so that nothing overflows. */
export function softmax(logits: ArrayLike<number>, temperature = 1): number[] {
  const row = Array.from(logits);
  const largest = row.reduce((max, logit) => Math.max(max, logit), -Infinity);
  const exponentials = row.map((logit) => Math.exp((logit - largest) / temperature));
  const total = sum(exponentials);
  return exponentials.map((value) => value / total);
}

/**
 * softmax(z / T) of one row out of many, through {@link logSumExp}; it may differ from {@link softmax} in the last bits.
 * @param into [classes], overwritten
 * @param logits [rows × classes], row-major
 * @param at where the row begins
 */
export function softmaxInto(into: Float64Array, logits: Float32Array, at: number, temperature: number): void {
  const beta = 1 / temperature;
  const normaliser = logSumExp(logits, at, into.length, beta);
  for (let n = 0; n < into.length; n++) into[n] = Math.exp(beta * logits[at + n]! - normaliser);
}

/** log Σ exp(β z) over the row of logits that begins at `at`, without overflow. */
export function logSumExp(logits: Float32Array, at: number, classes: number, beta = 1): number {
  let largest = -Infinity;
  for (let n = 0; n < classes; n++) largest = Math.max(largest, logits[at + n]!);
  let sum = 0;
  for (let n = 0; n < classes; n++) sum += Math.exp(beta * (logits[at + n]! - largest));
  return beta * largest + Math.log(sum);
}

/** The class with the largest value in the row that begins at `at`; the first of equals. */
export function argmax(values: Float32Array | Float64Array, at: number, classes: number): number {
  let best = 0;
  for (let n = 1; n < classes; n++) if (values[at + n]! > values[at + best]!) best = n;
  return best;
}

/** 1 / (1 + exp(−z)), for any finite z. */
export function sigmoid(z: number): number {
  return z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z));
}

/** −log σ(z) if the label is present, else −log(1 − σ(z)), in nats, without overflow. */
export function binaryCrossEntropy(z: number, isPresent: boolean): number {
  return Math.max(isPresent ? -z : z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
}

// Vectors. Over thousands of parameters, plain loops are several times faster than map and reduce.

/** Σ aᵢ bᵢ */
export function dot(a: Float64Array, b: Float64Array): number {
  // Four sums at once: each addition to one has to wait for the one before.
  let [sum, second, third, fourth] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 3 < a.length; i += 4) {
    sum += a[i]! * b[i]!;
    second += a[i + 1]! * b[i + 1]!;
    third += a[i + 2]! * b[i + 2]!;
    fourth += a[i + 3]! * b[i + 3]!;
  }
  for (; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum + second + third + fourth;
}

/** aᵀc and bᵀc, in one pass. */
export function dots(a: Float64Array, b: Float64Array, c: Float64Array): [number, number] {
  let [ac, bc, secondAc, secondBc] = [0, 0, 0, 0];
  let i = 0;
  for (; i + 1 < c.length; i += 2) {
    ac += a[i]! * c[i]!;
    bc += b[i]! * c[i]!;
    secondAc += a[i + 1]! * c[i + 1]!;
    secondBc += b[i + 1]! * c[i + 1]!;
  }
  if (i < c.length) {
    ac += a[i]! * c[i]!;
    bc += b[i]! * c[i]!;
  }
  return [ac + secondAc, bc + secondBc];
}

/** a ← a + factor · b, in place. */
export function addScaled(a: Float64Array, factor: number, b: Float64Array): void {
  for (let i = 0; i < a.length; i++) a[i]! += factor * b[i]!;
}

/** a ← a + first · b + second · c, in place. */
export function addTwoScaled(a: Float64Array, first: number, b: Float64Array, second: number, c: Float64Array): void {
  for (let i = 0; i < a.length; i++) a[i]! += first * b[i]! + second * c[i]!;
}

/** {@link addScaled} for float32. One function for both would take twice as long. */
export function addFloats(a: Float64Array, factor: number, b: Float32Array): void {
  for (let i = 0; i < a.length; i++) a[i]! += factor * b[i]!;
}

/** a ← factor · a, in place. */
export function scale(a: Float64Array, factor: number): void {
  for (let i = 0; i < a.length; i++) a[i] = factor * a[i]!;
}

/** into ← a − b */
export function subtract(into: Float64Array, a: Float64Array, b: Float64Array): void {
  for (let i = 0; i < into.length; i++) into[i] = a[i]! - b[i]!;
}

/** maxᵢ |aᵢ|; NaN if a holds one. */
export function infinityNorm(a: Float64Array): number {
  let norm = 0;
  for (let i = 0; i < a.length; i++) norm = Math.max(norm, Math.abs(a[i]!));
  return norm;
}

/** Disjoint sets of 0 … count − 1 (union-find). The root of a set is its least member. */
export class DisjointSets {
  private readonly parents: Int32Array;

  constructor(count: number) {
    this.parents = Int32Array.from({ length: count }, (_, i) => i);
  }

  join(a: number, b: number): void {
    const [one, other] = [this.rootOf(a), this.rootOf(b)];
    this.parents[Math.max(one, other)] = Math.min(one, other);
  }

  rootOf(member: number): number {
    const { parents } = this;
    let root = member;
    while (parents[root] !== root) {
      // Halving the path keeps later searches short.
      root = parents[root] = parents[parents[root]!]!;
    }
    return root;
  }
}

/** The rows of a matrix, row-major, each a copy. @param count how many it has */
export function rowsOf(values: Float32Array, count: number): Float32Array[] {
  const width = values.length / count;
  return Array.from({ length: count }, (_, i) => values.slice(i * width, (i + 1) * width));
}
