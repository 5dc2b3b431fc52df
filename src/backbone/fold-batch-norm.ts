import { LastlayerError } from '../errors.js';
import type { Checkpoint } from './checkpoint/index.js';
import type { Convolution } from './resnet-architecture.js';

/** PyTorch's default, which torchvision's ResNets keep. */
const EPSILON = 1e-5;

/**
 * The weight and bias of a convolution with its BatchNorm folded in, computed in float64:
 * w′ = w · γ / √(σ² + ε) and b′ = β − μ · γ / √(σ² + ε) (Ioffe and Szegedy 2015, algorithm 2).
 * @throws {LastlayerError} where a tensor is missing, has another shape or is not finite
 */
export function foldBatchNorm(
  checkpoint: Checkpoint,
  { name, norm, shape }: Convolution,
  path: string,
): { weight: Float32Array; bias: Float32Array } {
  const channels = shape[0];
  const weight = readTensor(checkpoint, `${name}.weight`, shape, path).slice();
  const [gamma, beta, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map((parameter) =>
    readTensor(checkpoint, `${norm}.${parameter}`, [channels], path),
  );
  const bias = new Float32Array(channels);
  const perChannel = weight.length / channels;
  for (let c = 0; c < channels; c++) {
    const scale = at(gamma, c) / Math.sqrt(at(variance, c) + EPSILON);
    bias[c] = at(beta, c) - at(mean, c) * scale;
    for (let i = c * perChannel; i < (c + 1) * perChannel; i++) weight[i] = at(weight, i) * scale;
  }
  const folded = `${name} with ${norm} folded in`;
  return { weight: finite(weight, folded, path), bias: finite(bias, folded, path) };
}

/** A tensor of the checkpoint. @throws {LastlayerError} where it is missing, has another shape or is not finite */
export function readTensor(
  checkpoint: Checkpoint,
  name: string,
  shape: readonly number[],
  path: string,
): Float32Array {
  const tensor = checkpoint.get(name);
  if (!tensor) throw new LastlayerError(`${path} has no tensor ${name}: is the checkpoint complete?`);
  if (tensor.shape.join() !== shape.join()) {
    throw new LastlayerError(
      `${path}: ${name} has the shape [${tensor.shape.join(', ')}] where [${shape.join(', ')}] is expected.`,
    );
  }
  return finite(tensor.data, name, path);
}

/** The same values. @throws {LastlayerError} where they are not all finite */
function finite(values: Float32Array, name: string, path: string): Float32Array {
  if (!values.every(Number.isFinite)) {
    throw new LastlayerError(
      `${path}: ${name} holds NaN or infinite values, so no features can be computed from it.`,
    );
  }
  return values;
}

function at(values: Float32Array | undefined, i: number): number {
  return values?.[i] ?? Number.NaN;
}
