/**
 * log Σ exp(β z) over one row of logits, with the largest subtracted first so that nothing overflows.
 * @param logits [rows × classes], row-major
 * @param at where the row begins
 */
export function logSumExp(logits: Float32Array, at: number, classes: number, beta = 1): number {
  let largest = -Infinity;
  for (let n = 0; n < classes; n++) largest = Math.max(largest, logits[at + n] ?? 0);
  let sum = 0;
  for (let n = 0; n < classes; n++) sum += Math.exp(beta * ((logits[at + n] ?? 0) - largest));
  return beta * largest + Math.log(sum);
}

/**
 * softmax(z / T) of one row of logits.
 * @param into [classes], overwritten
 */
export function softmaxInto(into: Float64Array, logits: Float32Array, at: number, temperature: number): void {
  const beta = 1 / temperature;
  const normaliser = logSumExp(logits, at, into.length, beta);
  for (let n = 0; n < into.length; n++) into[n] = Math.exp(beta * (logits[at + n] ?? 0) - normaliser);
}

/** The class of the largest logit of a row; of equals, the first. */
export function argmax(values: Float32Array | Float64Array, at: number, classes: number): number {
  let best = 0;
  for (let n = 1; n < classes; n++) if ((values[at + n] ?? 0) > (values[at + best] ?? 0)) best = n;
  return best;
}
