import type { ModelProto } from 'onnx-buf';
import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { Checkpoint } from './checkpoint/read.js';
import { convolutionsOf, resNet, type ResNetArchitecture, resNetGraph } from './resnet.js';

/** Name of the untrained backbone. The features of a model with this name were never trained. */
export const UNTRAINED = 'resnet18-untrained';

/** An untrained ResNet-18, made in about a second. It is the same on every machine. */
export function untrainedResNet18(): ModelProto {
  const architecture = resNet({ block: 'basic', blocks: [2, 2, 2, 2] });
  return resNetGraph(untrainedCheckpoint(architecture), UNTRAINED, UNTRAINED);
}

const SEED = 18;

/**
 * A ResNet before any training: convolutions drawn from He's uniform distribution, ±√(6 / fan out) (He et al. 2015, "Delving
 * deep into rectifiers"; torchvision uses the fan out too), BatchNorm the identity, no fc. Drawn from a fixed seed with
 * correctly rounded arithmetic only.
 */
export function untrainedCheckpoint(architecture: ResNetArchitecture): Checkpoint {
  const random = xoroshiro128plus(SEED);
  const checkpoint: Checkpoint = new Map();
  for (const { name, norm, shape } of convolutionsOf(architecture)) {
    const [channels, inputs, kernel] = shape;
    const bound = Math.sqrt(6 / (channels * kernel * kernel));
    const data = new Float32Array(channels * inputs * kernel * kernel);
    for (let i = 0; i < data.length; i++) data[i] = (2 * uniformFloat32(random) - 1) * bound;
    checkpoint.set(`${name}.weight`, { shape, data });

    const constant = (value: number) => ({ shape: [channels], data: new Float32Array(channels).fill(value) });
    checkpoint.set(`${norm}.weight`, constant(1));
    checkpoint.set(`${norm}.bias`, constant(0));
    checkpoint.set(`${norm}.running_mean`, constant(0));
    checkpoint.set(`${norm}.running_var`, constant(1));
  }
  return checkpoint;
}
