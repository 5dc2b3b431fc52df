import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fetchModel } from '../../src/backbone/fetch/fetch-model.js';
import { inspectBackbone } from '../../src/backbone/inspect.js';
import { untrainedBackbone } from '../../scripts/support/untrained.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { tensorInfo } from '../../src/formats/onnx/build.js';
import { decodeModel, encodeModel, graphOf } from '../../src/formats/onnx/model.js';
import { temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const modelsDir = await temporaryFolder();

describe('the backbone that is used', () => {
  it('is the bundled one where there is no other, which is said; nothing is written', async () => {
    const notices: string[] = [];
    const backbone = await loadBackbone({ modelsDir, onNotice: (line) => notices.push(line) });
    expect(notices).toEqual([
      expect.stringMatching(
        /bundled.*resnet18-bundled\.int8.*generated pictures.*`npm run fetch-model`.* 95 % on its ants and bees; .* 88 %/,
      ),
    ]);
    expect(readdirSync(modelsDir)).toEqual([]);
    expect(backbone).toMatchObject({
      ...{ name: 'resnet18-bundled.int8', width: 512 },
      ...{ pretrained: true, quantized: true, hasLogits: false },
    });
    const pixels = Uint8Array.from({ length: 3 * 224 * 224 }, (_, i) => (i * i) % 251);
    const { embedding } = await backbone.run(pixels);
    expect(embedding).toHaveLength(512);
    expect(new Set(embedding).size).toBeGreaterThan(100);
  });

  it('is found by its id, though the ImageNet one was fetched since', async () => {
    const folder = join(modelsDir, 'since');
    const bundled = await loadBackbone({ modelsDir: folder });
    await mkdir(folder);
    await writeFile(join(folder, 'source.onnx'), smallNetwork(1));
    await fetchModel({ from: join(folder, 'source.onnx'), out: join(folder, 'resnet18.onnx') });
    expect((await loadBackbone({ modelsDir: folder })).id).not.toBe(bundled.id);
    expect((await loadBackbone({ modelsDir: folder, model: bundled.id })).id).toBe(bundled.id);
  });

  it('is the fetched one before the bundled one, and the given one before both', async () => {
    const folder = join(modelsDir, 'order');
    await mkdir(folder);
    await writeFile(join(folder, 'other.onnx'), smallNetwork(2));
    await writeFile(join(folder, 'source.onnx'), smallNetwork(1));
    await fetchModel({ from: join(folder, 'source.onnx'), out: join(folder, 'resnet18.onnx') });
    const notices: string[] = [];
    const onNotice = (line: string) => notices.push(line);
    const fetched = await loadBackbone({ modelsDir: folder, onNotice });
    expect(fetched.source).toBe(join(folder, 'resnet18.onnx'));
    const given = await loadBackbone({ modelsDir: folder, model: join(folder, 'other.onnx'), onNotice });
    expect(given.id).not.toBe(fetched.id);
    expect(given.width).toBe(8);
    // Used directly or fetched, the same network has the same id.
    expect((await loadBackbone({ model: join(folder, 'source.onnx') })).id).toBe(fetched.id);
    expect(notices).toEqual([]);
  });

  it('is refused where its file is not what its card describes', async () => {
    const folder = join(modelsDir, 'damaged');
    await mkdir(folder);
    await writeFile(join(folder, 'source.onnx'), smallNetwork());
    await fetchModel({ from: join(folder, 'source.onnx'), out: join(folder, 'resnet18.onnx') });
    await writeFile(join(folder, 'resnet18.onnx'), smallNetwork(2));
    await expect(loadBackbone({ modelsDir: folder })).rejects.toThrow(/is not the file that its card describes/);
  });

  it.each([
    ['IR version', 99n, undefined, /IR version 99; this onnxruntime reads up to \d+\. Save it with a lower one/],
    ['opset', undefined, 99n, /uses opset 99; this onnxruntime reads up to \d+\. Export it again with opset 17/],
  ])('is refused in plain words where its %s is newer than onnxruntime', async (_, irVersion, opset, message) => {
    const path = join(modelsDir, 'newer.onnx');
    const network = decodeModel(smallNetwork(), path);
    if (irVersion !== undefined) network.irVersion = irVersion;
    for (const each of network.opsetImport) each.version = opset ?? each.version;
    await writeFile(path, encodeModel(network));
    await expect(loadBackbone({ model: path })).rejects.toThrow(message);
  });

  it('is refused by name where it is missing or no network', async () => {
    await expect(loadBackbone({ model: join(modelsDir, 'no.onnx') })).rejects.toThrow(/no\.onnx cannot be read/);
    const text = join(modelsDir, 'text.onnx');
    await writeFile(text, 'this is no model at all');
    await expect(loadBackbone({ model: text })).rejects.toThrow(/text\.onnx/);
    await writeFile(text, '');
    await expect(loadBackbone({ model: text })).rejects.toThrow(/text\.onnx is empty/);
  });
});

describe('a network of somebody else', () => {
  const path = join(modelsDir, 'asks.onnx');

  /** The small network, which asks for pictures of these sides. */
  async function asksFor(height: number | string, width: number | string): Promise<string> {
    const network = decodeModel(smallNetwork(), 'small');
    graphOf(network, 'small').input = [tensorInfo('image', ['n', 3, height, width])];
    await writeFile(path, encodeModel(network));
    return path;
  }

  it.each([
    [0, 0, 'only sides of 1 to 8192 are supported'],
    [-1, -1, 'only sides of 1 to 8192 are supported'],
    [8193, 8193, 'only sides of 1 to 8192 are supported'],
    [2 ** 40, 'w', 'only sides of 1 to 8192 are supported'],
    [224, 448, 'only square ones are supported'],
  ])('that asks for pictures of %s by %s is refused before it is run', async (height, width, reason) => {
    const model = await asksFor(height, width);
    const size = `${typeof width === 'number' ? width : height} × ${height}`;
    await expect(loadBackbone({ model })).rejects.toThrow(`${path} takes pictures of ${size} pixels, but ${reason}`);
  });

  it('that asks for one side alone gets squares of it, and for none 224', async () => {
    expect((await loadBackbone({ model: await asksFor('h', 64) })).transform.crop).toBe(64);
    expect((await loadBackbone({ model: await asksFor(64, 'w') })).transform.crop).toBe(64);
    expect((await loadBackbone({ model: await asksFor('h', 'w') })).transform.crop).toBe(224);
  });

  it('with a last layer that gives no numbers is refused', async () => {
    const network = decodeModel(smallNetwork(), 'small');
    const [, last] = graphOf(network, 'small').initializer;
    last?.rawData.fill(0xff);
    await writeFile(path, encodeModel(network));
    await expect(loadBackbone({ model: path })).rejects.toThrow(
      `${path} gives logits that are not finite numbers: its last layer is damaged.`,
    );
  });
});

describe('an untrained backbone', () => {
  it('is the same on every machine, said to be untrained where it is used, and kept', async () => {
    const backbone = await untrainedBackbone({ modelsDir });
    expect(backbone).toMatchObject({ width: 512, pretrained: false, hasLogits: false });
    // Drawn from a fixed seed with exactly rounded arithmetic.
    expect(backbone.id).toBe('resnet18-untrained@a2661590fe2f');
    expect((await untrainedBackbone({ modelsDir })).id).toBe(backbone.id);
    const notices: string[] = [];
    const again = await loadBackbone({ model: backbone.source, onNotice: (line) => notices.push(line) });
    expect(again.id).toBe(backbone.id);
    expect(notices).toEqual([expect.stringMatching(/UNTRAINED.*`npm run fetch-model`/)]);
  });

  it('is refused where it cannot be written', async () => {
    const file = join(modelsDir, 'a-file');
    await writeFile(file, '');
    await expect(untrainedBackbone({ modelsDir: join(file, 'models') })).rejects.toThrow(/cannot be written/);
  });
});

describe('a run', () => {
  it('gives a picture the same embedding to the bit, whatever pictures are beside it', async () => {
    const backbone = await untrainedBackbone({ modelsDir });
    const length = 3 * 224 * 224;
    const pixels = Float32Array.from({ length: 5 * length }, (_, i) => Math.sin(i * 0.13));
    const { embedding } = await backbone.run(pixels);
    for (const [from, count] of [
      [0, 1],
      [3, 1],
      [1, 4],
    ] as const) {
      const part = await backbone.run(pixels.slice(from * length, (from + count) * length));
      expect(part.embedding).toEqual(embedding.slice(from * 512, (from + count) * 512));
    }
  });

  it('takes bytes as well as normalised planes, and gives the same embedding', async () => {
    const backbone = await untrainedBackbone({ modelsDir });
    const { mean, std } = backbone.transform;
    const plane = 224 * 224;
    const bytes = Uint8Array.from({ length: 2 * 3 * plane }, (_, i) => (i * i) % 251);
    const planes = Float32Array.from({ length: bytes.length }, (_, i) => {
      const [picture, c, p] = [Math.floor(i / (3 * plane)), Math.floor(i / plane) % 3, i % plane];
      const byte = bytes[3 * (picture * plane + p) + c] ?? NaN;
      return (byte / 255 - (mean[c] ?? NaN)) / (std[c] ?? NaN);
    });
    const fromPlanes = (await backbone.run(planes)).embedding;
    const largest = fromPlanes.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    (await backbone.run(bytes)).embedding.forEach((value, i) => {
      expect(Math.abs(value - (fromPlanes[i] ?? NaN))).toBeLessThan(1e-5 * largest);
    });
  });

  it('never changes the backbone', async () => {
    const path = join(modelsDir, 'resnet18-untrained.onnx');
    const digest = () => createHash('sha256').update(readFileSync(path)).digest('hex');
    const before = digest();
    const backbone = await untrainedBackbone({ modelsDir });
    await backbone.run(new Float32Array(3 * 224 * 224));
    await backbone.release();
    expect(digest()).toBe(before);
    expect(existsSync(path)).toBe(true);
  });

  it('refuses what is no batch, and logits that there are none of', async () => {
    const backbone = await untrainedBackbone({ modelsDir });
    await expect(backbone.run(new Float32Array(10))).rejects.toThrow(
      /N pictures of 3 × 224 × 224 values is expected; 10 values/,
    );
    await expect(backbone.run(new Float32Array(3 * 224 * 224), { logits: true })).rejects.toThrow(/no last layer/);
  });
});

describe('the layers', () => {
  it('are those of ResNet-18, with their shapes and parameters', async () => {
    const layers = await inspectBackbone(await untrainedBackbone({ modelsDir }));
    const named = new Map(layers.map((layer) => [layer.path.join('.'), layer]));
    expect(named.get('conv1')).toMatchObject({
      operator: 'Conv 7×7 /2',
      shape: [64, 112, 112],
      parameters: 9472,
    });
    expect(named.get('layer4.0.downsample.0')).toMatchObject({ operator: 'Conv 1×1 /2', shape: [512, 7, 7] });
    expect(named.get('flatten')?.shape).toEqual([512]);
    expect(layers.filter(({ operator }) => operator.startsWith('Conv'))).toHaveLength(20);
    // torchvision's resnet18 has 11,689,512 parameters; without fc (513,000) and with each BatchNorm's weight
    // folded away (4,800) that leaves
    expect(layers.reduce((sum, { parameters }) => sum + parameters, 0)).toBe(11_171_712);
  });
});
