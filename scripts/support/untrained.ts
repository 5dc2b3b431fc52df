import { join } from 'node:path';
import type { ModelProto } from 'onnx-buf';
import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { Backbone } from '../../src/backbone/backbone.js';
import type { Checkpoint } from '../../src/backbone/checkpoint/read.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { writeModel } from '../../src/backbone/model-card.js';
import { describeModel, UNTRAINED } from '../../src/backbone/model.js';
import { convolutionsOf, resNet, type ResNetArchitecture, resNetGraph } from '../../src/backbone/resnet.js';
import { fileExists } from '../../src/util/files.js';

/** An untrained ResNet-18, made in about a second. It is the same on every machine. */
function untrainedResNet18(): ModelProto {
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

/** Width of its embedding. */
const UNTRAINED_WIDTH = 512;

/**
 * An untrained ResNet-18, the baseline for any trained features. It is built on first use and written to the models folder.
 * @throws {LastlayerError} if it cannot be written
 */
export async function untrainedBackbone({ modelsDir }: { modelsDir: string }): Promise<Backbone> {
  const path = join(modelsDir, `${UNTRAINED}.onnx`);
  if (await fileExists(path)) return loadBackbone({ model: path });
  const model = { ...describeModel(untrainedResNet18(), path), width: UNTRAINED_WIDTH };
  await writeModel(path, model, { source: 'drawn from a fixed seed', licence: 'MIT' });
  return new Backbone(model, path, {});
}
