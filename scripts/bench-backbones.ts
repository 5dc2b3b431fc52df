import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Argument } from 'commander';
import { Backbone } from '../src/backbone/backbone.js';
import { untrainedCheckpoint } from './support/untrained.js';
import { describeModel } from '../src/backbone/model.js';
import { quantizeBackbone, speedRatio } from '../src/backbone/quantize/quantize.js';
import { resNet, resNetGraph, type ResNetShape } from '../src/backbone/resnet.js';
import { sum } from '../src/util/math.js';
import { EXAMPLES, run, script } from './support/script.js';

const [FIFTY, HUNDRED] = [
  [3, 4, 6, 3],
  [3, 4, 23, 3],
];

const RESNET18: ResNetShape = { block: 'basic', blocks: [2, 2, 2, 2] };

const SHAPES: Record<string, ResNetShape> = {
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

export const command = script(
  'bench-backbones',
  "Compare the cost of torchvision's ResNets with that of ResNet-18: the time of a batch, in float32 and in int8, as a " +
    'multiple of ResNet-18’s. The weights are random, which does not change the cost. Each backbone takes turns with ' +
    'ResNet-18. Prints a table.',
  ['', 'resnet50 resnext50_32x4d'],
)
  .addArgument(
    new Argument('[names...]', 'backbones to measure')
      .choices(Object.keys(SHAPES))
      .default(Object.keys(SHAPES), 'all of them'),
  )
  .action(benchBackbones);
await run(import.meta.url, command);

async function benchBackbones(names: readonly string[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-bench-'));
  try {
    const reference = await randomBackbone('resnet18', RESNET18, folder);
    console.log('backbone          million parameters   fp32 time   int8 time   fp32 / int8');
    for (const name of names) {
      const { float32, int8, parameters } = await randomBackbone(name, SHAPES[name]!, folder);
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
}

/** A backbone with random weights in float32 and in int8, and its number of weights and biases without the last layer. */
async function randomBackbone(
  name: string,
  shape: ResNetShape,
  folder: string,
): Promise<{ float32: Backbone; int8: Backbone; parameters: number }> {
  const architecture = resNet(shape);
  const checkpoint = untrainedCheckpoint(architecture);
  // Gains below one keep the activations of deep networks within bounds.
  for (const [tensor, { data }] of checkpoint) if (/(bn\d|downsample\.1)\.weight$/.test(tensor)) data.fill(0.5);
  const path = join(folder, `${name}.onnx`);
  const model = describeModel(resNetGraph(checkpoint, path), path);
  const float32 = new Backbone({ ...model, width: architecture.width }, path);
  const { backbone: int8 } = await quantizeBackbone(float32, EXAMPLES, { pictures: 8, modelsDir: folder });
  const parameters = [...checkpoint].filter(([tensor]) => /(weight|bias)$/.test(tensor));
  return { float32, int8, parameters: sum(parameters.map(([, { data }]) => data.length)) };
}
