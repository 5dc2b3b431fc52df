/** 1 / (1 + exp(−z)), for any finite z. */
export function sigmoid(z: number): number {
  return z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z));
}

/** −log σ(z), or −log(1 − σ(z)) where the label is not there, in nats, without overflow. */
export function binaryCrossEntropy(z: number, isThere: boolean): number {
  return Math.max(isThere ? -z : z, 0) + Math.log1p(Math.exp(-Math.abs(z)));
}
