import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Backbone } from '../../src/backbone/backbone.js';
import { fetchModel } from '../../src/backbone/fetch/fetch-model.js';
import { featureCandidates, inspectBackbone } from '../../src/backbone/inspect.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { initializer, model, node, tensorInfo } from '../../src/formats/onnx/build.js';
import { encodeModel } from '../../src/formats/onnx/model.js';
import { encodeSafetensors } from '../../src/formats/safetensors.js';
import { lastlayer } from '../support/command-line.js';
import { temporaryFolder } from '../support/files.js';
import { referenceResNet, smallCheckpoint } from '../support/reference-resnet.js';

const folder = await temporaryFolder();
const path = join(folder, 'tokens.onnx');
await writeFile(path, tokenNetwork());
const pictures = Float32Array.from({ length: 2 * 3 * 32 * 32 }, (_, i) => Math.sin(i * 0.7));

async function cutAt(features: string, from = path): Promise<Backbone> {
  const { path: cut } = await fetchModel({ from, features, modelsDir: join(folder, 'models') });
  return loadBackbone({ model: cut });
}

describe('the features of a network that has no pooling', () => {
  it('are taken at a tensor [N, width] as it is', async () => {
    const backbone = await cutAt('class_token');
    expect(backbone.width).toBe(6);
    const { embedding } = await backbone.run(pictures);
    for (const picture of [0, 1]) {
      const own = pictures.subarray(picture * 3072, (picture + 1) * 3072);
      expectClose(embedding.subarray(picture * 6, (picture + 1) * 6), tokens(own)[0] ?? []);
    }
  });

  it('are feature maps averaged over their positions, named by tensor or by operator', async () => {
    const backbone = await cutAt('patches');
    const { embedding } = await backbone.run(pictures.subarray(0, 3072));
    const all = tokens(pictures.subarray(0, 3072));
    const mean = Array.from({ length: 6 }, (_, c) => all.reduce((sum, token) => sum + (token[c] ?? NaN), 0) / 16);
    expectClose(embedding, mean);
    expect((await cutAt('/patch/Conv')).id).toBe(backbone.id);
  });

  it('may lie behind a tensor that is called embedding itself', async () => {
    // The scores, two operators behind it.
    const { embedding } = await (await cutAt('scores')).run(pictures.subarray(0, 3072));
    const [first = []] = tokens(pictures.subarray(0, 3072));
    expectClose(
      embedding,
      [0, 1].map((k) => first.reduce((sum, value, c) => sum + value * Math.cos(2 * c + k), 0)),
    );
  });

  it('are noted in the card', async () => {
    const { card } = await fetchModel({ from: path, features: 'class_token', out: join(folder, 'cut.onnx') });
    expect(card).toMatchObject({ features: 'class_token', featureWidth: 6, classes: null });
  });

  it('are asked for where they are not named, and refused where there are none such', async () => {
    const out = join(folder, 'no.onnx');
    await expect(fetchModel({ from: path, out })).rejects.toThrow(
      /no global pooling before its output .*`npm run inspect -- --model FILE --features` lists/,
    );
    await expect(cutAt('embedding')).rejects.toThrow(/embedding has 3 dimensions, so it cannot be an embedding/);
    await expect(cutAt('nowhere')).rejects.toThrow(
      /no features "nowhere".*the last tensors are tokens, class_token, scores/s,
    );
    await expect(cutAt('')).rejects.toThrow(/no features ""/);
  });
});

describe('what a network can be cut at', () => {
  it('is listed with shapes and widths', async () => {
    expect(await featureCandidates(path)).toEqual([
      { tensor: 'patches', operator: 'Conv', name: '/patch/Conv', shape: [6, 4, 4], width: 6 },
      { tensor: 'class_token', operator: 'Gather', name: '', shape: [6], width: 6 },
      { tensor: 'scores', operator: 'MatMul', name: '', shape: [2], width: 2 },
    ]);
  });

  it('is printed by inspect, which names the command that takes it', async () => {
    const { code, stdout, stderr } = await lastlayer(['inspect', '--model', path, '--features'], folder);
    expect(code).toBe(0);
    expect(stdout).toMatch(/patches +Conv +6 × 4 × 4 +6\nclass_token +Gather +6 +6\n/);
    expect(stderr).toContain(`npm run fetch-model -- --from ${path} --features NAME`);
    const wrong = await lastlayer(['inspect', '--features'], folder);
    expect(wrong).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/--features needs --model/) as unknown,
    });
  });

  it('may be an inner stage of a ResNet, from its checkpoint', async () => {
    const tensors = smallCheckpoint({ blocks: [1, 1, 1, 1], channels: 4, width: 4, groups: 1, classes: 2 });
    const checkpoint = join(folder, 'small.safetensors');
    await writeFile(checkpoint, encodeSafetensors(tensors));
    const backbone = await cutAt('layer3.0.relu3', checkpoint);
    const picture = Float32Array.from({ length: 3 * 224 * 224 }, (_, i) => Math.sin(i * 0.11));
    const withoutLast = new Map([...tensors].filter(([name]) => !/^layer4/.test(name)));
    expectClose((await backbone.run(picture)).embedding, referenceResNet(withoutLast, picture, 1).embedding);
    expect((await inspectBackbone(backbone)).some((layer) => layer.path[0] === 'layer4')).toBe(false);
  });
});

/** A transformer's beginning: patches of 8 × 8 pixels become tokens, the first of which the classifier reads. */
function tokenNetwork(): Uint8Array {
  return encodeModel(
    model({
      name: 'tokens',
      nodes: [
        node('Conv', ['image', 'kernel'], ['patches'], { kernel_shape: [8, 8], strides: [8, 8] }, '/patch/Conv'),
        node('Reshape', ['patches', 'flat'], ['embedding']),
        node('Transpose', ['embedding'], ['tokens'], { perm: [0, 2, 1] }),
        node('Gather', ['tokens', 'first'], ['class_token'], { axis: 1 }),
        node('MatMul', ['class_token', 'w'], ['scores']),
      ],
      initializers: [
        initializer(
          'kernel',
          [6, 3, 8, 8],
          Float32Array.from({ length: 1152 }, (_, i) => kernel(i)),
        ),
        initializer('flat', [3], [0, 6, 16]),
        initializer('first', [], [0]),
        initializer(
          'w',
          [6, 2],
          Float32Array.from({ length: 12 }, (_, i) => Math.cos(i)),
        ),
      ],
      inputs: [tensorInfo('image', ['n', 3, 32, 32])],
      outputs: [tensorInfo('scores', ['n', 2])],
    }),
  );
}

function kernel(i: number): number {
  return Math.cos(i * i);
}

/** The 16 tokens of a picture, each [6], computed patch by patch. */
function tokens(picture: Float32Array): number[][] {
  return Array.from({ length: 16 }, (_, t) =>
    Array.from({ length: 6 }, (_, c) => {
      let sum = 0;
      for (let k = 0; k < 192; k++) {
        const [plane, y, x] = [Math.floor(k / 64), Math.floor(k / 8) % 8, k % 8];
        const pixel = (plane * 32 + 8 * Math.floor(t / 4) + y) * 32 + 8 * (t % 4) + x;
        sum += kernel(c * 192 + k) * (picture[pixel] ?? NaN);
      }
      return sum;
    }),
  );
}

function expectClose(found: Float32Array, expected: readonly number[]): void {
  expect(found).toHaveLength(expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  expected.forEach((value, i) => {
    expect(Math.abs(value - (found[i] ?? NaN))).toBeLessThan(1e-5 * largest);
  });
}
