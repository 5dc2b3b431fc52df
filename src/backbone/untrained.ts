import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { ModelProto } from '../onnx/index.js';
import type { Checkpoint } from './checkpoint/index.js';
import { convolutionsOf, resNet, type ResNetArchitecture } from './resnet-architecture.js';
import { resNetGraph } from './resnet-graph.js';

/** Name of the trunk that is always there; a model of this name has features that were never trained. */
export const UNTRAINED = 'resnet18-untrained';

/** Width of its embedding. */
export const UNTRAINED_WIDTH = 512;

const SEED = 18;

/** The graph of an untrained ResNet-18, made in a second; the same on every machine. */
export function untrainedModel(): ModelProto {
  return resNetGraph(
    untrainedCheckpoint(resNet({ block: 'basic', blocks: [2, 2, 2, 2] })),
    UNTRAINED,
    UNTRAINED,
  );
}

/**
 * A ResNet as it is before any training: convolutions drawn from He's uniform distribution,
 * ±√(6 / fan out) (He et al. 2015, "Delving deep into rectifiers"; torchvision too takes the fan out), BatchNorm the
 * identity, no fc. Drawn from a fixed seed with nothing but correctly rounded arithmetic.
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
