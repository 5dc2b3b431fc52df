import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import { Backbone } from '../../src/backbone/backbone.js';
import { fetchModel } from '../../src/backbone/fetch/fetch-model.js';
import { inspectBackbone } from '../../src/backbone/inspect.js';
import { untrainedBackbone } from '../../scripts/support/untrained.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { readModel } from '../../src/backbone/model.js';
import { modelsHome } from '../../src/backbone/models.js';
import { int8Backbone, quantizeBackbone } from '../../src/backbone/quantize/quantize.js';
import { createSession } from '../../src/backbone/session.js';
import { embedImages } from '../../src/classify/classifier.js';
import { measureFidelity } from '../../src/classify/fidelity.js';
import { initializer, model, node, tensorInfo } from '../../src/formats/onnx/build.js';
import { decodeModel, encodeModel, graphOf } from '../../src/formats/onnx/model.js';
import { lastlayer, lastlayerProcess, type Outcome } from '../support/command-line.js';
import { describeWith, SHARED, stripedDataset, temporaryFolder } from '../support/files.js';
import { smallNetwork } from '../support/small-network.js';

const root = await temporaryFolder();
const modelsDir = join(root, 'models');
const HOME = modelsHome();
const data = join(root, 'data');
const paths = await stripedDataset(data, {
  train: { flat: 6, steep: 6 },
  val: { flat: 15, steep: 15 },
});
const validation = paths.filter((path) => path.includes('/val/'));
const float32 = await untrainedBackbone({ modelsDir });
const quantized = await quantizeBackbone(float32, data, { pictures: 4, modelsDir });

/** A small network of one's own in a new folder. */
async function smallBackbone(name: string, scale = 1): Promise<Backbone> {
  const folder = join(root, name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'source.onnx'), smallNetwork(scale));
  const { path } = await fetchModel({
    from: join(folder, 'source.onnx'),
    out: join(folder, 'small.onnx'),
    force: true,
  });
  return loadBackbone({ model: path });
}

describe('an int8 ResNet-18', () => {
  it('is computed in integers from the picture to the average pooling, as onnxruntime optimises it', async () => {
    const counts = await optimizedOperators(quantized.backbone.onnx);
    // One rounding in and one out: everything between the two is on integers.
    expect(counts).toMatchObject({ QuantizeLinear: 1, DequantizeLinear: 1, QLinearConv: 20, QLinearAdd: 8 });
    for (const floating of ['Conv', 'FusedConv', 'Add', 'Relu']) expect(counts[floating]).toBeUndefined();
  });

  it('gives embeddings close to the float32 ones on other pictures, but not the same', async () => {
    const one = await embedImages(float32, validation);
    const two = await embedImages(quantized.backbone, validation);
    const cosines = validation.map((_, i) => cosine(row(one, i, 512), row(two, i, 512)));
    expect(Math.min(...cosines)).toBeGreaterThan(0.999);
    expect(two).not.toEqual(one);
  });

  it('gives a picture the same embedding, whatever pictures are beside it', async () => {
    const together = await embedImages(quantized.backbone, validation.slice(0, 3));
    expect(await embedImages(quantized.backbone, validation.slice(1, 2))).toEqual(row(together, 1, 512));
  });

  it('gives the same embeddings as on processors whose 16-bit sums overflow', async () => {
    const pixels = Float32Array.from({ length: 2 * 3 * 224 * 224 }, (_, i) => 2 * Math.sin(0.37 * i));
    const widened = await createSession(quantized.backbone.onnx, 'int8', { widen: true });
    const { embedding } = await widened.run({ input: new ort.Tensor('float32', pixels, [2, 3, 224, 224]) });
    await widened.release();
    expect(embedding?.data).toEqual((await quantized.backbone.run(pixels)).embedding);
  });

  it('is a model of its own, whose card says what it came from', async () => {
    const { path, card, knownAs, calibratedOn } = quantized;
    expect(path).toBe(join(modelsDir, `${card.id}.onnx`));
    expect(knownAs).toBe('resnet18-untrained.int8');
    expect(card.sha256).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'));
    expect(card).toMatchObject({
      id: `resnet18-untrained.int8@${card.sha256.slice(0, 12)}`,
      sourceSha256: createHash('sha256').update(float32.onnx).digest('hex'),
      licence: 'MIT',
      pretrained: false,
      precision: 'int8',
      featureWidth: 512,
      transform: float32.transform,
    });
    expect(card.source).toMatch(`int8 of ${float32.id} (${float32.source}), calibrated on 4 pictures of ${data}`);
    expect(calibratedOn.every(({ split }) => split === 'train')).toBe(true);
    // Heads know their network by its id, which the models folder is searched for.
    const found = await loadBackbone({ modelsDir, model: card.id });
    expect([found.id, found.source, found.pretrained]).toEqual([card.id, path, false]);
  });

  it('takes a quarter of the space', () => {
    expect(quantized.backbone.onnx.length / float32.onnx.length).toBeLessThan(0.27);
  });

  it('has the same layers and parameters', async () => {
    const layers = await inspectBackbone(quantized.backbone);
    expect(layers).toEqual(await inspectBackbone(float32));
  });

  it('comes out the same byte for byte from the same pictures', async () => {
    const again = await quantizeBackbone(float32, data, { pictures: 4, out: join(root, 'again.onnx') });
    expect(again.card.id).toBe(quantized.card.id);
    const others = await quantizeBackbone(float32, data, { pictures: 2, out: join(root, 'others.onnx') });
    expect(others.card.id).not.toBe(quantized.card.id);
  });
});

describe("somebody else's network", () => {
  it('keeps its input size, its logits and what integers cannot do', async () => {
    const small = await smallBackbone('logits');
    const { backbone, card } = await quantizeBackbone(small, data);
    expect(card).toMatchObject({ classes: 5, featureWidth: 8 });
    const pixels = Float32Array.from({ length: 2 * 3 * 224 * 224 }, (_, i) => Math.sin(0.01 * i));
    const one = await small.run(pixels, { logits: true });
    const two = await backbone.run(pixels, { logits: true });
    expect(two.logits).toHaveLength(10);
    expect(cosine(one.logits ?? one.embedding, two.logits ?? two.embedding)).toBeGreaterThan(0.999);
  });
});

describe('a network of another kind', () => {
  it('has its depthwise convolutions and Clips in integers too, and the rest as it was', async () => {
    const path = join(root, 'depthwise.onnx');
    await writeFile(path, depthwiseNetwork());
    const network = await loadBackbone({ model: path });
    const { backbone } = await quantizeBackbone(network, data);
    const operators = await optimizedOperators(backbone.onnx);
    expect(operators).toMatchObject({ QLinearConv: 2, QLinearAdd: 1, Mul: 1 });
    expect([operators.Conv, operators.FusedConv, operators.Clip]).toEqual([undefined, undefined, undefined]);
    const one = await embedImages(network, validation);
    const two = await embedImages(backbone, validation);
    expect(cosine(one, two)).toBeGreaterThan(0.999);
    expect(two).not.toEqual(one);
  });
});

describe('the pictures to calibrate on', () => {
  it('are half of the training pictures at most, and those that can be read', async () => {
    const small = await smallBackbone('calibration');
    const folder = join(root, 'half');
    await stripedDataset(folder, { train: { flat: 3, steep: 2 }, val: { flat: 5 } });
    const { calibratedOn } = await quantizeBackbone(small, folder);
    expect(calibratedOn).toHaveLength(3);
    expect(calibratedOn.every(({ split }) => split === 'train')).toBe(true);

    const notices: string[] = [];
    for (const { path } of calibratedOn.slice(0, 2)) await writeFile(path, 'no picture');
    const rest = await quantizeBackbone(small, folder, { onNotice: (line) => notices.push(line) });
    expect(rest.calibratedOn).toEqual(calibratedOn.slice(2));
    expect(notices.filter((line) => line.startsWith('Not calibrated on'))).toHaveLength(2);
    for (const { path } of calibratedOn) await writeFile(path, 'no picture');
    await expect(quantizeBackbone(small, folder)).rejects.toThrow(/None of the 3 sampled pictures of .*half/);
  });
});

describe('what makes no sense', () => {
  it('is refused with what to do, and leaves nothing behind', async () => {
    const small = await smallBackbone('refused');
    const files = () => readdirSync(join(root, 'refused')).sort();
    const before = files();
    await expect(quantizeBackbone(quantized.backbone, data)).rejects.toThrow(/computes in integers already/);
    await expect(quantizeBackbone(small, data, { out: small.source })).rejects.toThrow(/the float32 model itself/);
    await expect(quantizeBackbone(small, data, { out: join(root, 'x.bin') })).rejects.toThrow(/ends in \.onnx/);
    await expect(quantizeBackbone(small, data, { pictures: 0 })).rejects.toThrow(/pictures is 0/);
    await expect(quantizeBackbone(small, join(root, 'none'))).rejects.toThrow(/no data set at .*none/);
    const controller = new AbortController();
    // 15 of 30 pictures, in more batches than one.
    const stopped = quantizeBackbone(small, join(data, 'val'), {
      signal: controller.signal,
      onProgress: () => {
        controller.abort(new Error('enough'));
      },
    });
    await expect(stopped).rejects.toThrow('enough');
    expect(files()).toEqual(before);
  });
});

describe('the int8 model of a float32 one', () => {
  /** A network that takes its time. */
  class Slow extends Backbone {
    override async run(...args: Parameters<Backbone['run']>) {
      await new Promise((resolve) => setTimeout(resolve, 150));
      return super.run(...args);
    }
  }

  /** A network that has its answer at once. */
  class Fast extends Backbone {
    override async run(pixels: Float32Array) {
      return Promise.resolve({ embedding: new Float32Array((8 * pixels.length) / (3 * 224 * 224)) });
    }
  }

  const modelOf = async ({ source }: Backbone) => ({ ...(await readModel(source)), width: 8 });

  it('is made where there is none, found where there is, and made anew for another model', async () => {
    const small = await smallBackbone('twin');
    const slow = new Slow(await modelOf(small), small.source);
    const notices: string[] = [];
    const options = { modelsDir: join(root, 'twin', 'models'), onNotice: (line: string) => notices.push(line) };
    const made = await int8Backbone(slow, data, options);
    expect(made.source).toBe(join(options.modelsDir, `${made.id}.onnx`));
    expect(notices).toEqual([
      expect.stringMatching(`no int8 model of ${small.id}.*Making one, calibrated on`),
      expect.stringMatching(`Made ${made.id}`),
    ]);
    expect((await int8Backbone(slow, data, options)).id).toBe(made.id);
    expect((await int8Backbone(made, data, options)).id).toBe(made.id);
    expect(notices).toHaveLength(2);

    const changed = await smallBackbone('twin', 2);
    const another = await int8Backbone(new Slow(await modelOf(changed), changed.source), data, options);
    expect(another.id).not.toBe(made.id);
    expect(notices.slice(2)).toEqual([
      expect.stringMatching(`no int8 model of ${changed.id}`),
      expect.stringMatching(`small.int8 now stands for ${another.id}. It stood for ${made.id}, which is kept`),
      expect.stringMatching(`Made ${another.id}`),
    ]);
  });

  it('gives way to float32 where that is faster', async () => {
    const small = await smallBackbone('faster');
    const fast = new Fast(await modelOf(small), small.source);
    const notices: string[] = [];
    expect(await int8Backbone(fast, data, { onNotice: (line) => notices.push(line) })).toBe(fast);
    expect(notices.at(-1)).toMatch(/int8 is slower than float32 here/);
  });
});

describe('fidelity', () => {
  it('is measured on other pictures than those that were calibrated on', async () => {
    const [one, two] = [await smallBackbone('one', 1), await smallBackbone('two', -1)];
    const except = quantized.calibratedOn;
    const fidelity = await measureFidelity(one, two, data, { except });
    const used = new Set(except.map(({ path }) => path));
    const others = paths.filter((path) => !used.has(path));
    const [a, b] = [await embedImages(one, others), await embedImages(two, others)];
    const cosines = others.map((_, i) => cosine(row(a, i, 8), row(b, i, 8)));
    expect(fidelity.pictures).toBe(42 - except.length);
    expect(fidelity.meanCosine).toBeCloseTo(cosines.reduce((sum, value) => sum + value, 0) / cosines.length, 6);
    expect(fidelity.lowestCosine).toBeCloseTo(Math.min(...cosines), 6);
    expect(fidelity.heads).toMatchObject({
      classes: 2,
      trainedOn: 12,
      evaluatedOn: 30,
      validatedOn: 'validation split',
    });
  });

  it('compares no heads where there are too few labels', async () => {
    const small = await smallBackbone('labels');
    const folder = join(root, 'unlabelled');
    const pictures = join(folder, '.', 'flat');
    await stripedDataset(folder, { '.': { flat: 4 } });
    const notices: string[] = [];
    const fidelity = await measureFidelity(small, small, pictures, {
      except: [],
      onNotice: (line) => notices.push(line),
    });
    expect(fidelity).toMatchObject({ pictures: 4, heads: null });
    expect(fidelity.lowestCosine).toBeCloseTo(1, 6);
    expect(notices).toEqual([expect.stringMatching(/Too few labelled pictures/)]);
  });
});

describe('npm run quantize', () => {
  it('writes the model and reports on it as one JSON object; embed, train-head and evaluate go on with it', async () => {
    const folder = join(root, 'line');
    const small = await smallBackbone('line/models');
    const twin = await quantizeBackbone(small, data, { pictures: 4, out: join(root, 'twin.onnx') });
    const resultOf = ({ code, stdout, stderr }: Outcome) => {
      expect({ code, stderr }).toMatchObject({ code: 0 });
      return { result: JSON.parse(stdout) as Record<string, unknown>, stderr };
    };
    const run = async (...args: string[]) => resultOf(await lastlayer(args, folder));
    const quantize = ['quantize', '--model', small.source, '--calibrate', data, '--pictures', '4', '--json'];
    const { result } = resultOf(await lastlayerProcess(quantize, folder).outcome);
    expect(result).toMatchObject({
      path: join(HOME, `${twin.card.id}.onnx`),
      knownAs: 'small.int8',
      id: twin.card.id,
      madeFrom: small.id,
      calibratedOn: 4,
      fidelity: { pictures: 38, heads: { evaluatedOn: 30 } },
    });
    expect(Number(result.speedRatio)).toBeGreaterThan(0);

    const embedded = await run('embed', data, '--model', small.source, '--precision', 'int8', '--json');
    const gaveWay = embedded.stderr.includes('int8 is slower than float32 here');
    expect(embedded.result.modelId).toBe(gaveWay ? small.id : result.id);

    // However fast it is here, the head of an int8 network finds it again by its id.
    await run('embed', data, '--model', String(result.path), '--json');
    await run('train-head', '--model', String(result.id), '--json');
    expect((await run('evaluate', data, '--json')).result.modelId).toBe(result.id);
    const predicted = await run('predict', validation[0] ?? '', '--json');
    expect(predicted.result.predictions).toHaveLength(1);
  });

  it('has nothing to do for the bundled backbone, and embed no float32 weights of it; both say what to do', async () => {
    const again = await lastlayer(['quantize', '--calibrate', data], root);
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(/computes in integers already.*`npm run fetch-model`/);
    const float = await lastlayer(['embed', data, '--precision', 'fp32'], root);
    expect(float.code).toBe(2);
    expect(float.stderr).toMatch(
      /--precision is fp32, but resnet18-bundled\.int8@.* is an int8 model.*`npm run fetch-model`/,
    );
  });

  it('refuses what makes no sense with exit code 2', async () => {
    const { code, stderr } = await lastlayer(['quantize', '--out', 'model.bin'], root);
    expect(code).toBe(2);
    expect(stderr).toMatch(/--out is .*model\.bin; a name that ends in \.onnx is expected/);
  });
});

describeWith('data/hymenoptera', 'with features of natural pictures', (pictures) => {
  it('int8 stays at a cosine of 0.999 to float32, and a head gives the same answers', async () => {
    const folder = join(root, 'natural');
    const manifest = join(folder, 'pictures.csv');
    const weights = join(SHARED, 'weights', 'resnet18-natural.safetensors');
    await mkdir(folder);
    await writeFile(manifest, manifestOf(pictures, 15));
    const { path } = await fetchModel({ from: weights, out: join(folder, 'resnet18.onnx') });
    const natural = await loadBackbone({ model: path });
    const { backbone, calibratedOn } = await quantizeBackbone(natural, manifest, { pictures: 12 });
    const fidelity = await measureFidelity(natural, backbone, manifest, { except: calibratedOn });
    expect(fidelity).toMatchObject({ pictures: 48, heads: { trainedOn: 30, evaluatedOn: 30 } });
    expect(fidelity.meanCosine).toBeGreaterThan(0.999);
    expect(fidelity.lowestCosine).toBeGreaterThan(0.99);
    expect(fidelity.heads?.agreement).toBeGreaterThanOrEqual(0.95);
    expect(fidelity.heads?.accuracy.reference).toBeGreaterThan(0.7);
  });
});

/** The first pictures of each class and split, as a CSV manifest. */
function manifestOf(folder: string, perClass: number): string {
  const rows = ['train', 'val'].flatMap((split) =>
    readdirSync(join(folder, split)).flatMap((label) =>
      readdirSync(join(folder, split, label))
        .sort()
        .slice(0, perClass)
        .map((file) => `${join(folder, split, label, file)},${label},${split}`),
    ),
  );
  return ['path,label,split', ...rows].join('\n');
}

/** How often each operator occurs in a network as onnxruntime optimises it. */
async function optimizedOperators(onnx: Uint8Array): Promise<Record<string, number>> {
  const path = join(root, 'optimized.onnx');
  const options = { optimizedModelFilePath: path, logSeverityLevel: 3 } as const;
  const session = await ort.InferenceSession.create(onnx, options);
  await session.release();
  const counts: Record<string, number> = {};
  for (const { opType } of graphOf(decodeModel(readFileSync(path), path), path).node) {
    counts[opType] = (counts[opType] ?? 0) + 1;
  }
  return counts;
}

/** A depthwise convolution with a shortcut, and a product with its own mean, as mobile networks have them. */
function depthwiseNetwork(): Uint8Array {
  const weights = (name: string, shape: number[], fan: number) => {
    const length = shape.reduce((product, n) => product * n, 1);
    return initializer(
      name,
      shape,
      Float32Array.from({ length }, (_, i) => (2 * Math.cos(i * i)) / fan),
    );
  };
  return encodeModel(
    model({
      name: 'depthwise',
      nodes: [
        node('Conv', ['x', 'stem', 'bias'], ['stem.out'], { kernel_shape: [3, 3], strides: [4, 4] }),
        node('Clip', ['stem.out', 'zero', 'six'], ['stem.clip']),
        node('Conv', ['stem.clip', 'depth'], ['depth.out'], {
          kernel_shape: [3, 3],
          pads: [1, 1, 1, 1],
          group: 16,
        }),
        node('Clip', ['depth.out', 'zero', 'six'], ['depth.clip']),
        node('Add', ['depth.clip', 'stem.clip'], ['sum']),
        node('ReduceMax', ['sum'], ['peak'], { axes: [2, 3], keepdims: 1 }),
        node('Mul', ['sum', 'peak'], ['product']),
        node('GlobalAveragePool', ['product'], ['pooled']),
        node('Flatten', ['pooled'], ['embedding']),
      ],
      initializers: [
        weights('stem', [16, 3, 3, 3], 5),
        weights('bias', [16], 4),
        weights('depth', [16, 1, 3, 3], 3),
        initializer('zero', [], Float32Array.of(0)),
        initializer('six', [], Float32Array.of(6)),
      ],
      inputs: [tensorInfo('x', ['n', 3, 'h', 'w'])],
      outputs: [tensorInfo('embedding', ['n', 16])],
    }),
  );
}

function row(embeddings: Float32Array, i: number, width: number): Float32Array {
  return embeddings.slice(i * width, (i + 1) * width);
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * (y[i] ?? NaN), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
