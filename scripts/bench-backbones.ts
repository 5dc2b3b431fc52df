/**
 * Measures what torchvision's ResNets cost beside ResNet-18: the time of a batch through the backbone, in float32 and in
 * int8, as a multiple of ResNet-18's. Weights are random, which costs what trained ones cost. Each network takes turns
 * with ResNet-18. Prints a table.
 *
 *     node --import tsx scripts/bench-backbones.ts [resnet50 …]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Backbone } from '../src/backbone/backbone.js';
import { untrainedCheckpoint } from '../src/backbone/untrained.js';
import { describeModel } from '../src/backbone/model.js';
import { quantizeBackbone, speedRatio } from '../src/backbone/quantize/quantize.js';
import { resNet, resNetGraph, type ResNetShape } from '../src/backbone/resnet.js';

const PICTURES = fileURLToPath(new URL('../test/fixtures/examples', import.meta.url));

const [FIFTY, HUNDRED] = [
  [3, 4, 6, 3],
  [3, 4, 23, 3],
];

const SHAPES: Record<string, ResNetShape> = {
  resnet18: { block: 'basic', blocks: [2, 2, 2, 2] },
  resnet34: { block: 'basic', blocks: FIFTY },
  resnet50: { block: 'bottleneck', blocks: FIFTY },
  resnet101: { block: 'bottleneck', blocks: HUNDRED },
  resnet152: { block: 'bottleneck', blocks: [3, 8, 36, 3] },
  wide_resnet50_2: { block: 'bottleneck', blocks: FIFTY, width: 128 },
  wide_resnet101_2: { block: 'bottleneck', blocks: HUNDRED, width: 128 },
  resnext50_32x4d: { block: 'bottleneck', blocks: FIFTY, width: 128, groups: 32 },
  resnext101_32x8d: { block: 'bottleneck', blocks: HUNDRED, width: 256, groups: 32 },
  resnext101_64x4d: { block: 'bottleneck', blocks: HUNDRED, width: 256, groups: 64 },
};

const folder = await mkdtemp(join(tmpdir(), 'lastlayer-bench-'));
try {
  const reference = await networks('resnet18');
  console.log('network           million parameters   fp32 time   int8 time   fp32 / int8');
  const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(SHAPES).slice(1);
  for (const name of names) {
    const { float32, int8, parameters } = await networks(name);
    const options = { batchSize: 8, rounds: 4 };
    const figures = [
      1 / (await speedRatio(float32, reference.float32, options)),
      1 / (await speedRatio(int8, reference.int8, options)),
      await speedRatio(int8, float32, options),
    ].map((figure) => figure.toFixed(1).padStart(11));
    console.log(`${name.padEnd(17)}${(parameters / 1e6).toFixed(1).padStart(19)}  ${figures.join(' ')}`);
    await float32.release();
    await int8.release();
  }
} finally {
  await rm(folder, { recursive: true });
}

/** A network with random weights in float32 and in int8, and how many weights and biases it has without the last layer. */
async function networks(name: string): Promise<{ float32: Backbone; int8: Backbone; parameters: number }> {
  const shape = SHAPES[name];
  if (!shape) throw new Error(`${name} is none of ${Object.keys(SHAPES).join(', ')}`);
  const architecture = resNet(shape);
  const checkpoint = untrainedCheckpoint(architecture);
  // Gains below one keep the activations of deep networks within bounds.
  for (const [tensor, { data }] of checkpoint)
    if (/(bn\d|downsample\.1)\.weight$/.test(tensor)) data.fill(0.5);
  const path = join(folder, `${name}.onnx`);
  const model = describeModel(resNetGraph(checkpoint, path), path);
  const float32 = new Backbone({ ...model, width: architecture.width }, path);
  const { backbone } = await quantizeBackbone(float32, PICTURES, { pictures: 8 });
  const parameters = [...checkpoint].filter(([tensor]) => /(weight|bias)$/.test(tensor));
  return {
    float32,
    int8: backbone,
    parameters: parameters.reduce((sum, [, { data }]) => sum + data.length, 0),
  };
}
