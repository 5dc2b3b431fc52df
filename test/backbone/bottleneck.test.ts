import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspectBackbone } from '../../src/backbone/inspect.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { quantizeBackbone } from '../../src/backbone/quantize/quantize.js';
import { encodeSafetensors } from '../../src/formats/safetensors.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { referenceResNet, smallCheckpoint, type SmallResNet, type Tensor } from '../support/reference-resnet.js';

const folder = await temporaryFolder();
const picture = Float32Array.from({ length: 3 * 224 * 224 }, (_, i) => 1.5 * Math.sin(i * 0.11) + Math.cos(i * 0.0007));

const plain = { blocks: [1, 2, 1, 1], channels: 4, width: 4, groups: 1, classes: 3 };
const grouped = { ...plain, width: 8, groups: 4 };

async function save(name: string, tensors: ReadonlyMap<string, Tensor>): Promise<string> {
  const path = join(folder, `${name}.safetensors`);
  await writeFile(path, encodeSafetensors(tensors));
  return path;
}

describe('a ResNet of bottleneck blocks', () => {
  it.each<[string, SmallResNet]>([
    ['as in ResNet-50', plain],
    ['twice as wide inside, as in Wide ResNet-50', { ...plain, width: 8 }],
    ['with groups, as in ResNeXt-50', grouped],
  ])('%s gives what its layers give one by one', async (name, shape) => {
    const tensors = smallCheckpoint(shape);
    const backbone = await loadBackbone({ model: await save(name, tensors) });
    expect(backbone).toMatchObject({ width: 128, name: 'resnet-bottleneck-1-2-1-1', pretrained: true });
    const found = await backbone.run(picture, { logits: true });
    const expected = referenceResNet(tensors, picture, shape.groups);
    expectClose(found.embedding, expected.embedding);
    expectClose(found.logits ?? [], expected.logits);
  });

  it('halves its size in the 3 × 3 convolution, not in the 1 × 1 before it', async () => {
    const layers = await inspectBackbone(await loadBackbone({ model: await save('layers', smallCheckpoint(plain)) }));
    const shapes = new Map(layers.map(({ path, shape }) => [path.join('.'), shape]));
    expect(shapes.get('layer2.0.conv1')).toEqual([8, 56, 56]);
    expect(shapes.get('layer2.0.conv2')).toEqual([8, 28, 28]);
    expect(shapes.get('layer2.0.conv3')).toEqual([32, 28, 28]);
  });

  it('computes in int8 too, groups included', async () => {
    await mkdir(join(folder, 'data'), { recursive: true });
    await stripedDataset(join(folder, 'data'), { train: { flat: 4, steep: 4 } });
    const float32 = await loadBackbone({ model: await save('float32', smallCheckpoint(grouped)) });
    const { backbone } = await quantizeBackbone(float32, join(folder, 'data'));
    const [one, two] = [await float32.run(picture), await backbone.run(picture)];
    expect(backbone.quantized).toBe(true);
    expect(two.embedding).not.toEqual(one.embedding);
    expect(cosine(one.embedding, two.embedding)).toBeGreaterThan(0.99);
  });
});

describe('a checkpoint that is no such network', () => {
  it.each<[string, (tensors: Map<string, Tensor>) => unknown, RegExp]>([
    ['lacks a convolution', (tensors) => tensors.delete('layer2.1.conv3.weight'), /no tensor layer2\.1\.conv3\.weight/],
    [
      'has more than a ResNet',
      (tensors) => tensors.set('layer1.0.se.fc1.weight', scalar),
      /holds 1 tensors that .*layer1\.0\.se/,
    ],
    [
      'has groups that do not divide',
      (tensors) => tensors.set('layer1.0.conv2.weight', { shape: [4, 3, 3, 3], data: new Float32Array(108) }),
      /reads 3 of the 4 channels before it/,
    ],
    [
      'has another width further on',
      (tensors) => tensors.set('layer3.0.conv1.weight', scalar),
      /layer3\.0\.conv1\.weight has the shape \[1\] where \[16, 32, 1, 1\]/,
    ],
    [
      'has a variance below 0',
      (tensors) => tensors.get('layer1.0.bn2.running_var')?.data.fill(-1, 2),
      /layer1\.0\.conv2 with layer1\.0\.bn2 folded in holds NaN or infinite values/,
    ],
  ])('as it %s, is refused', async (name, spoil, reason) => {
    const tensors = smallCheckpoint(plain);
    spoil(tensors);
    await expect(loadBackbone({ model: await save(name, tensors) })).rejects.toThrow(reason);
  });
});

test('what a training script makes of the names and the last layer does not matter to the embeddings', async () => {
  const pixels = Uint8Array.from({ length: 3 * 224 * 224 }, (_, i) => (i * i) % 251);
  const expected = await (await loadBackbone({ model: await save('plain', smallCheckpoint(plain)) })).run(pixels);
  const tensors = smallCheckpoint(plain);
  for (const name of ['fc.weight', 'fc.bias']) {
    const moved = tensors.get(name);
    if (moved) tensors.set(name.replace('fc', 'fc.1'), moved);
    tensors.delete(name);
  }
  const wrapped = new Map<string, Tensor>();
  for (const [name, each] of tensors) wrapped.set(`model.backbone.${name}`, each);
  wrapped.set('head.weight', scalar);
  const backbone = await loadBackbone({ model: await save('wrapped', wrapped) });
  expect(backbone.hasLogits).toBe(false);
  expect((await backbone.run(pixels)).embedding).toEqual(expected.embedding);
});

describe('a checkpoint with a value that is not finite', () => {
  it.each([
    ['conv1.weight', NaN],
    ['layer2.0.downsample.1.weight', Infinity],
    ['layer4.0.bn3.running_mean', NaN],
    ['bn1.running_var', Infinity],
    ['fc.weight', NaN],
    ['fc.bias', -Infinity],
  ])('in %s is refused by the name of the tensor', async (name, value) => {
    const tensors = smallCheckpoint(plain);
    tensors.get(name)?.data.fill(value, 1, 2);
    const model = await save('not-finite', tensors);
    await expect(loadBackbone({ model })).rejects.toThrow(`${model}: ${name} holds NaN or infinite values`);
  });
});

const scalar: Tensor = { shape: [1], data: Float32Array.of(1) };

/** max |Δ| ≤ 1e-5 · max |expected| */
function expectClose(found: ArrayLike<number>, expected: readonly number[]): void {
  expect(found.length).toBe(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  expect(largest).toBeGreaterThan(0);
  const differences = expected.map((value, i) => Math.abs(value - (found[i] ?? NaN)));
  expect(Math.max(...differences)).toBeLessThanOrEqual(1e-5 * largest);
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * (y[i] ?? NaN), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
