import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import {
  AttributeProtoSchema,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
} from 'onnx-buf';
import type { Backbone, Features } from '../../src/backbone/backbone.js';
import { fetchModel } from '../../src/backbone/fetch/fetch-model.js';
import { featureCandidates } from '../../src/backbone/inspect.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { quantizeBackbone } from '../../src/backbone/quantize/quantize.js';
import { Classifier } from '../../src/classify/classifier.js';
import { exportOnnx } from '../../src/export/onnx.js';
import { initializer, node, tensorInfo } from '../../src/formats/onnx/build.js';
import { renameAll } from '../../src/formats/onnx/edit.js';
import { decodeModel, encodeModel, graphOf } from '../../src/formats/onnx/model.js';
import { stripedDataset, temporaryFolder } from '../support/files.js';
import { madeUpHead } from '../support/made-up-head.js';
import { smallNetwork } from '../support/small-network.js';

const folder = await temporaryFolder();
const data = join(folder, 'data');
const pictures = await stripedDataset(data, { train: { flat: 3, steep: 3 } });
const bytes = Uint8Array.from({ length: 2 * 3 * 224 ** 2 }, (_, i) => (i * i) % 251);

/** The small network, changed. */
function changed(change: (graph: GraphProto) => void): ModelProto {
  const network = decodeModel(smallNetwork(), 'small');
  change(graphOf(network, 'small'));
  return network;
}

let files = 0;

async function saved(network: ModelProto): Promise<string> {
  const path = join(folder, `network-${files++}.onnx`);
  await writeFile(path, encodeModel(network));
  return path;
}

async function fetched(network: ModelProto, features?: string): Promise<Backbone> {
  const from = await saved(network);
  return loadBackbone({
    model: (await fetchModel({ from, features, out: join(folder, 'out', `${files}.onnx`) })).path,
  });
}

const plain = await fetched(decodeModel(smallNetwork(), 'small'));
const expected = await plain.run(bytes, { logits: true });

function expectClose({ embedding, logits }: Features, tolerance: number): void {
  const largest = Math.max(...expected.embedding);
  expect(embedding).toHaveLength(16);
  embedding.forEach((value, i) => {
    expect(Math.abs(value - (expected.embedding[i] ?? NaN))).toBeLessThanOrEqual(tolerance * largest);
  });
  const greatest = Math.max(...(expected.logits ?? []).map(Math.abs));
  logits?.forEach((value, i) => {
    expect(Math.abs(value - (expected.logits?.[i] ?? NaN))).toBeLessThanOrEqual(tolerance * greatest);
  });
}

describe('names that lastlayer needs itself', () => {
  const int8Of = async (float32: Backbone) =>
    (await quantizeBackbone(float32, data, { out: join(folder, `${files}.int8.onnx`) })).backbone;
  let int8: Backbone;

  beforeAll(async () => {
    int8 = await int8Of(plain);
  });

  it.each<[string, Record<string, string>]>([
    ['as Hugging Face’s optimum exports them', { image: 'pixel_values', scores: 'logits' }],
    ['of inputs and tensors', { image: 'pixels', relu: 'embedding', conv: 'pixels.float', pooled: 'logits' }],
    ['of the input and the constants', { image: 'embedding', w: 'logits', kernel: 'pixels.mean' }],
    [
      'of operators, and of what int8 adds',
      {
        image: 'pixels',
        kernel: 'network.pixels.scale',
        w: 'relu.quantized',
        'stem/conv': 'lastlayer.flatten',
        classifier: 'head',
        flatten: 'lastlayer.logits',
        'stem/relu': 'relu.quantize',
        flat: 'lastlayer.flat',
        scores: 'probabilities',
      },
    ],
  ])('may be those of the network: %s', async (_, names) => {
    const own = renameAll(decodeModel(smallNetwork(), 'small'), 'small', (name) => names[name] ?? name);
    const backbone = await fetched(own);
    expectClose(await backbone.run(bytes, { logits: true }), 0);

    expect(await (await int8Of(backbone)).run(bytes, { logits: true })).toEqual(
      await int8.run(bytes, { logits: true }),
    );

    const classifier = new Classifier(backbone, madeUpHead(backbone));
    // It compares the exported model with predict itself.
    const { check } = await exportOnnx(classifier, join(folder, 'classifier.onnx'), { pictures: pictures.slice(0, 2) });
    expect(check.sameTop).toBe(2);
  });

  it('may be those of features that are asked for by that name', async () => {
    const own = renameAll(decodeModel(smallNetwork(), 'small'), 'small', (name) => (name === 'relu' ? 'logits' : name));
    const backbone = await fetched(own, 'logits');
    expect(backbone.hasLogits).toBe(false);
    expectClose(await backbone.run(bytes), 1e-6);
  });
});

describe('an input of another kind', () => {
  const transpose = (to: string) => node('Transpose', ['image'], [to], { perm: [0, 3, 1, 2] });
  const nextTo = (graph: GraphProto, name: string) => {
    for (const each of graph.node) each.input = each.input.map((input) => (input === 'image' ? name : input));
  };

  it('may have its channels last, as TensorFlow has them, and its pooling too', async () => {
    const network = changed((graph) => {
      nextTo(graph, 'planes');
      graph.node = graph.node.flatMap((each) =>
        each.opType === 'GlobalAveragePool'
          ? [
              node('Transpose', ['relu'], ['last'], { perm: [0, 2, 3, 1] }),
              node('ReduceMean', ['last'], ['pooled'], { axes: [1, 2] }),
            ]
          : [each],
      );
      graph.node.unshift(transpose('planes'));
      graph.input = [tensorInfo('image', ['n', 'h', 'w', 3])];
    });
    const backbone = await fetched(network);
    expectClose(await backbone.run(bytes, { logits: true }), 1e-5);
  });

  it.each([
    ['planes', ['n', 3, 224, 224]],
    ['channels last', ['n', 224, 224, 3]],
  ])('may be in half precision, as may the features: %s', async (layout, shape) => {
    const half = (from: string, to: string) => node('Cast', [from], [to], { to: DataType.FLOAT16 });
    const single = (from: string, to: string) => node('Cast', [from], [to], { to: DataType.FLOAT });
    const network = changed((graph) => {
      nextTo(graph, 'single');
      graph.node = graph.node.flatMap((each): NodeProto[] => {
        if (each.opType === 'Relu') return [{ ...each, output: ['relu.single'] }, half('relu.single', 'relu')];
        if (each.opType === 'Gemm') return [single('flat', 'flat.single'), { ...each, input: ['flat.single', 'w'] }];
        return [each];
      });
      graph.node.unshift(
        ...(layout === 'planes' ? [single('image', 'single')] : [transpose('turned'), single('turned', 'single')]),
      );
      graph.input = [tensorInfo('image', shape, 'float16')];
    });
    const backbone = await fetched(network);
    expectClose(await backbone.run(bytes, { logits: true }), 2e-3);
    expect((await featureCandidates(await saved(network))).map(({ tensor }) => tensor)).toContain('pooled');
  });

  it('leaves nothing to quantise where no convolution has float32 weights', async () => {
    const network = changed((graph) => {
      graph.node.unshift(node('Identity', ['kernel'], ['computed']));
      for (const each of graph.node) if (each.opType === 'Conv') each.input = ['image', 'computed'];
    });
    await expect(quantizeBackbone(await fetched(network), data)).rejects.toThrow(
      /no convolution with constant float32 weights, .* export it again in float32/,
    );
  });

  it('may be one of several, where the picture alone decides on the features', async () => {
    const network = changed((graph) => {
      // Omitted inputs and outputs share their empty name.
      graph.node = graph.node.map((each) =>
        each.opType === 'Relu' ? node('Clip', ['conv', 'zero', ''], each.output, {}, each.name) : each,
      );
      graph.initializer.push(initializer('zero', [], Float32Array.of(0)));
      graph.node.unshift(node('Dropout', ['text'], ['kept', '']));
      graph.node.push(node('MatMul', ['scores', 'kept'], ['similarity']));
      graph.input.unshift(tensorInfo('text', [5, 'texts']));
      graph.output.unshift(tensorInfo('similarity', ['n', 'texts']));
    });
    const backbone = await fetched(network);
    expectClose(await backbone.run(bytes, { logits: true }), 0);
    expect((await featureCandidates(await saved(network))).map(({ tensor }) => tensor)).toEqual(
      (await featureCandidates(await saved(decodeModel(smallNetwork(), 'small')))).map(({ tensor }) => tensor),
    );
  });

  it('is refused where two of them are pictures, or it is no float', async () => {
    const stereo = changed((graph) => {
      graph.input.push(tensorInfo('other', ['n', 3, 'h', 'w']));
    });
    const path = await saved(stereo);
    await expect(loadBackbone({ model: path })).rejects.toThrow(
      `${path} takes 2 inputs (image, other) where one picture is expected, float32 [N, 3, height, width]. Export the part`,
    );
    const integers = await saved(
      changed((graph) => (graph.input = [tensorInfo('image', ['n', 224, 224, 3], 'uint8')])),
    );
    await expect(loadBackbone({ model: integers })).rejects.toThrow(/input image is UINT8 \[n, 224, 224, 3\] where/);
  });
});

describe('the output that is embedded', () => {
  it('may be the second, where nothing is pooled before the first', async () => {
    const network = changed((graph) => {
      graph.node = graph.node.filter(({ opType }) => opType !== 'Flatten' && opType !== 'Gemm');
      graph.output = [tensorInfo('relu', ['n', 8, 'h', 'w']), tensorInfo('pooled', ['n', 8, 1, 1])];
    });
    expectClose(await (await fetched(network)).run(bytes), 0);
  });

  it('is taken as it is where it is an embedding already, even for one picture', async () => {
    const network = changed((graph) => {
      graph.node = graph.node
        .filter(({ opType }) => opType !== 'Gemm')
        .map((each) => (each.opType === 'Flatten' ? { ...each, output: ['embedding'] } : each));
      graph.input = [tensorInfo('image', [1, 3, 224, 224])];
      graph.output = [tensorInfo('embedding', [1, 8])];
    });
    expectClose(await (await fetched(network)).run(bytes), 0);
  });
});

describe('what onnxruntime says', () => {
  it('of a network for one picture at a time is told in plain words', async () => {
    const network = changed((graph) => {
      graph.input = [tensorInfo('image', [1, 3, 224, 224])];
      graph.node.splice(2, 0, node('Reshape', ['relu', 'shape'], ['only.one']));
      graph.initializer.push(initializer('shape', [4], [1, 8, 55, 55]));
      for (const each of graph.node) if (each.opType === 'GlobalAveragePool') each.input = ['only.one'];
    });
    const path = await saved(network);
    const error: unknown = await loadBackbone({ model: path }).catch((thrown: unknown) => thrown);
    const { message } = error as Error;
    expect(message).toMatch(
      /network-\d+\.onnx failed on a batch of 2\. Was it exported for batches of one size\? .*dynamic batch axis/,
    );
    expect(message).not.toMatch(/onnxruntime_src|reshape_helper|\n/);
  });

  it.each([
    ['', 'Fancy', 'Fancy'],
    ['com.example', 'Fancy', 'com.example:Fancy'],
  ])('of operators that it does not have, too: %s %s', async (domain, opType, named) => {
    const network = changed((graph) => {
      for (const each of graph.node) if (each.opType === 'Relu') Object.assign(each, { domain, opType });
    });
    if (domain !== '') network.opsetImport.push(create(OperatorSetIdProtoSchema, { domain, version: 1n }));
    const path = await saved(network);
    await expect(loadBackbone({ model: path })).rejects.toThrow(
      `${path} cannot be loaded: it uses the operator ${named} of its own or of an extension, which this onnxruntime does not`,
    );
  });
});

describe('weights in another file', () => {
  /** The small network with its weights in a file, `weights.data` unless it is given, in a folder of its own. */
  async function split(name: string, location = 'weights.data', kept = Infinity): Promise<string> {
    const directory = join(folder, name);
    const chunks: Buffer[] = [];
    let offset = 0;
    const network = changed((graph) => {
      for (const tensor of graph.initializer) {
        const entries = { location, offset: String(offset), length: String(tensor.rawData.length) };
        tensor.externalData = Object.entries(entries).map(([key, value]) =>
          create(StringStringEntryProtoSchema, { key, value }),
        );
        tensor.dataLocation = DataLocation.EXTERNAL;
        chunks.push(Buffer.from(tensor.rawData));
        offset += tensor.rawData.length;
        tensor.rawData = new Uint8Array();
      }
    });
    await mkdir(join(directory, 'data'), { recursive: true });
    await writeFile(join(directory, 'network.onnx'), encodeModel(network));
    if (kept > 0) await writeFile(join(directory, 'weights.data'), Buffer.concat(chunks).subarray(0, kept));
    if (kept > 0) await writeFile(join(directory, 'data', 'weights.data'), Buffer.concat(chunks));
    return join(directory, 'network.onnx');
  }

  it('make the very same network as in one file', async () => {
    for (const path of [await split('beside'), await split('below', 'data/weights.data')]) {
      expect((await loadBackbone({ model: path })).id).toBe(plain.id);
      const { card } = await fetchModel({ from: path, out: join(folder, 'whole.onnx') });
      expect(card.id).toBe(plain.id);
    }
  });

  it('are asked for where that file is missing or cut off', async () => {
    await expect(loadBackbone({ model: await split('missing', 'weights.data', 0) })).rejects.toThrow(
      /network\.onnx keeps the weights of kernel in another file, weights\.data, which cannot be read: .*one folder/,
    );
    await expect(loadBackbone({ model: await split('short', 'weights.data', 4704) })).rejects.toThrow(
      /weights of w in weights\.data, which ends before them, after 4704 bytes\. Get that file again/,
    );
  });

  it.each(['../../../etc/passwd', '/etc/passwd', 'data/../../secret', '..', ''])(
    'are never looked for outside the folder: %s',
    async (location) => {
      await expect(loadBackbone({ model: await split('outside', location) })).rejects.toThrow(
        /weights of kernel in another file, ".*", which is not in its folder/,
      );
    },
  );

  it('are found wherever in the network they are', async () => {
    const network = changed((graph) => {
      const values = initializer('inner', [1], Float32Array.of(1));
      values.dataLocation = DataLocation.EXTERNAL;
      values.externalData = [create(StringStringEntryProtoSchema, { key: 'location', value: '/etc/passwd' })];
      const constant = node('Constant', [], ['inner']);
      constant.attribute.push(create(AttributeProtoSchema, { name: 'value', t: values }));
      const branch = node('If', ['condition'], ['result']);
      branch.attribute.push(create(AttributeProtoSchema, { name: 'then_branch', g: { ...graph, node: [constant] } }));
      graph.node.push(branch);
    });
    await expect(loadBackbone({ model: await saved(network) })).rejects.toThrow(/weights of inner in another file/);
  });
});
