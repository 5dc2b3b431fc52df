import { LastlayerError } from '../errors.js';
import type { Checkpoint } from './checkpoint/index.js';
import { convolutionsOf, resNet, type ResNetArchitecture } from './resnet-architecture.js';

const INSTEAD = 'Export the network to ONNX and pass the .onnx file instead.';

/**
 * Tells by the names and shapes of its tensors which ResNet a checkpoint is of: basic or bottleneck blocks, how many
 * of them, how wide and in how many groups. (It cannot tell the stride's place, which is torchvision's.)
 * @param path the checkpoint's file, named in errors
 * @throws {LastlayerError} where it is none, or holds tensors that such a ResNet does not have
 */
export function recognizeResNet(checkpoint: Checkpoint, path: string): ResNetArchitecture {
  const [channels] = checkpoint.get('conv1.weight')?.shape ?? [];
  const [width] = checkpoint.get('layer1.0.conv1.weight')?.shape ?? [];
  if (!channels || !width) {
    const found = [...checkpoint.keys()].slice(0, 3).join(', ') || 'no tensors at all';
    throw new LastlayerError(
      `${path} is no ResNet checkpoint in torchvision's names: it has no conv1.weight and layer1.0.conv1.weight ` +
        `(found ${found}, …). ${INSTEAD}`,
    );
  }
  const architecture = resNet({
    block: checkpoint.has('layer1.0.conv3.weight') ? 'bottleneck' : 'basic',
    blocks: [1, 2, 3, 4].map((stage) => countBlocks(checkpoint, stage)),
    channels,
    width,
    groups: groupsOf(checkpoint, width, path),
  });
  refuseUnknownTensors(checkpoint, architecture, path);
  return architecture;
}

function countBlocks(checkpoint: Checkpoint, stage: number): number {
  let blocks = 0;
  while (checkpoint.has(`layer${stage}.${blocks}.conv1.weight`)) blocks++;
  return blocks;
}

/** A grouped convolution reads only so many of its input's channels. */
function groupsOf(checkpoint: Checkpoint, width: number, path: string): number {
  const [, inputs = width] = checkpoint.get('layer1.0.conv2.weight')?.shape ?? [];
  if (inputs === 0 || width % inputs !== 0) {
    throw new LastlayerError(
      `${path}: layer1.0.conv2.weight reads ${inputs} of the ${width} channels before it, which makes no whole number ` +
        `of groups. Is the checkpoint complete?`,
    );
  }
  return width / inputs;
}

/** A tensor that the graph would not use means another architecture, whose features would come out wrong. */
function refuseUnknownTensors(checkpoint: Checkpoint, architecture: ResNetArchitecture, path: string): void {
  const parameters = ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked'];
  const known = new Set(['fc.weight', 'fc.bias']);
  for (const { name, norm } of convolutionsOf(architecture)) {
    known.add(`${name}.weight`);
    for (const parameter of parameters) known.add(`${norm}.${parameter}`);
  }
  const unknown = [...checkpoint.keys()].filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw new LastlayerError(
      `${path} holds ${unknown.length} tensors that ${architecture.name} does not have (${unknown.slice(0, 3).join(', ')}` +
        `${unknown.length > 3 ? ', …' : ''}). ${INSTEAD}`,
    );
  }
}
