import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type GraphProto, type NodeProto, TensorProto_DataType as DataType } from 'onnx-buf';
import type { Backbone } from '../../src/backbone/backbone.js';
import { fetchModel } from '../../src/backbone/fetch/fetch-model.js';
import { loadBackbone } from '../../src/backbone/load.js';
import { BackbonePool } from '../../src/backbone/pool.js';
import { node, tensorInfo } from '../../src/formats/onnx/build.js';
import { decodeModel, encodeModel, graphOf } from '../../src/formats/onnx/model.js';
import { encodeSafetensors } from '../../src/formats/safetensors.js';
import { temporaryFolder } from '../support/files.js';
import { referenceResNet, smallCheckpoint } from '../support/reference-resnet.js';
import { smallNetwork } from '../support/small-network.js';

const folder = await temporaryFolder();
let files = 0;

/** Pictures of 32 × 32 pixels, of which the small network makes 8 × 7 × 7. */
const SIDE = 32;
const planes = Float32Array.from({ length: 2 * 3 * SIDE ** 2 }, (_, i) => Math.sin(i * 0.7) + Math.cos(i * 0.01));

/** The small network for such pictures, with other operators in place of some. */
async function small(change: (operator: NodeProto) => NodeProto[] = (each) => [each]): Promise<string> {
  return saved((graph) => {
    graph.input = [tensorInfo('image', ['n', 3, SIDE, SIDE])];
    graph.node = graph.node.flatMap(change);
  });
}

async function saved(change: (graph: GraphProto) => void): Promise<string> {
  const network = decodeModel(smallNetwork(), 'small');
  change(graphOf(network, 'small'));
  const path = join(folder, `network-${files++}.onnx`);
  await writeFile(path, encodeModel(network));
  return path;
}

/** Other operators in place of the pooling. */
const pooledBy =
  (...operators: NodeProto[]) =>
  (each: NodeProto) =>
    each.opType === 'GlobalAveragePool' ? operators : [each];

async function mapOf(backbone: Backbone, pictures: Float32Array | Uint8Array) {
  const { embedding, map } = await backbone.run(pictures, { map: true });
  return { embedding, map: map ?? { values: new Float32Array(), rows: 0, columns: 0 } };
}

function expectClose(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  expect(found).toHaveLength(expected.length);
  const largest = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const worst = Array.from(expected).reduce((most, value, i) => Math.max(most, Math.abs(value - (found[i] ?? NaN))), 0);
  expect(worst / largest).toBeLessThan(tolerance);
}

/** The means of the planes of a map. */
function means({ values, rows, columns }: { values: Float32Array; rows: number; columns: number }): number[] {
  const positions = rows * columns;
  return Array.from({ length: values.length / positions }, (_, c) =>
    values.subarray(c * positions, (c + 1) * positions).reduce((sum, value) => sum + value / positions, 0),
  );
}

describe('the feature map', () => {
  it('of a ResNet is what its layers give one by one, before they are pooled', async () => {
    const tensors = smallCheckpoint({ blocks: [1, 1, 1, 1], channels: 4, width: 4, groups: 1, classes: 2 });
    const path = join(folder, 'resnet.safetensors');
    await writeFile(path, encodeSafetensors(tensors));
    const picture = Float32Array.from({ length: 3 * 224 ** 2 }, (_, i) => Math.sin(i * 0.11));
    const { map } = await mapOf(await loadBackbone({ model: path }), picture);
    expect(map).toMatchObject({ rows: 7, columns: 7 });
    expectClose(map.values, referenceResNet(tensors, picture, 1).map, 1e-5);
  });

  const half = (from: string, to: string) => node('Cast', [from], [to], { to: DataType.FLOAT16 });
  const single = (from: string, to: string) => node('Cast', [from], [to], { to: DataType.FLOAT });

  it.each<[string, NodeProto[], number]>([
    ['an AveragePool', [node('AveragePool', ['relu'], ['pooled'], { kernel_shape: [7, 7] })], 1e-6],
    ['a ReduceMean', [node('ReduceMean', ['relu'], ['pooled'], { axes: [2, 3] })], 1e-6],
    ['a ReduceMean that counts from the end', [node('ReduceMean', ['relu'], ['pooled'], { axes: [-1, -2] })], 1e-6],
    [
      'a ReduceMean with channels last, which leaves out the axes',
      [
        node('Transpose', ['relu'], ['last'], { perm: [0, 2, 3, 1] }),
        node('ReduceMean', ['last'], ['pooled'], { axes: [1, 2], keepdims: 0 }),
      ],
      1e-6,
    ],
    [
      'a pooling in half precision',
      [half('relu', 'half'), node('GlobalAveragePool', ['half'], ['halved']), single('halved', 'pooled')],
      1e-3,
    ],
  ])('is found before %s', async (_, operators, tolerance) => {
    const expected = await mapOf(await loadBackbone({ model: await small() }), planes);
    const { map, embedding } = await mapOf(await loadBackbone({ model: await small(pooledBy(...operators)) }), planes);
    expect(map).toMatchObject({ rows: 7, columns: 7 });
    expectClose(map.values, expected.map.values, tolerance);
    expectClose(means(map), embedding, 2 * tolerance);
  });

  it('is that of the features that a network was cut at', async () => {
    const options = { features: 'relu', modelsDir: join(folder, 'models') };
    const { path } = await fetchModel({ from: await small(), ...options });
    const expected = await mapOf(await loadBackbone({ model: await small() }), planes);
    expect((await mapOf(await loadBackbone({ model: path }), planes)).map).toEqual(expected.map);
  });

  it('is the same in threads, where the embedding stays as it is without the map', async () => {
    const backbone = await loadBackbone({ model: await small(), threads: 2 });
    const pixels = () => Uint8Array.from({ length: 3 * 3 * SIDE ** 2 }, (_, i) => (i * i) % 251);
    const pool = new BackbonePool(backbone, { map: true });
    try {
      const found = await pool.compute(pixels());
      expect(found).toEqual(await backbone.run(pixels(), { map: true }));
      expect(found.map?.values).toHaveLength(3 * 8 * 49);
      expect(found.embedding).toEqual((await backbone.run(pixels())).embedding);
    } finally {
      await pool.close();
    }
  });

  it('has the embedding for its mean in int8, too', async () => {
    const backbone = await loadBackbone({ modelsDir: join(folder, 'none') });
    expect(backbone.quantized).toBe(true);
    const pixels = Uint8Array.from({ length: 2 * 3 * 224 ** 2 }, (_, i) => (i * i) % 251);
    const { map, embedding } = await mapOf(backbone, pixels);
    expect(map.values).toHaveLength(2 * 512 * 49);
    expectClose(means(map), embedding, 1e-6);
    expectClose(embedding, (await backbone.run(pixels)).embedding, 1e-6);
  });
});

describe('a network whose embedding is no mean of a map says so, by name', () => {
  it.each<[string, NodeProto[], RegExp]>([
    ['a maximum', [node('GlobalMaxPool', ['relu'], ['pooled'])], /its embedding comes from GlobalMaxPool \(pooled\)/],
    [
      'a local pooling, whose result another one takes the maximum of',
      [
        node('AveragePool', ['relu'], ['local'], { kernel_shape: [2, 2] }),
        node('GlobalMaxPool', ['local'], ['pooled']),
      ],
      /its embedding comes from GlobalMaxPool/,
    ],
    [
      'a pooling that leaves out the border',
      [node('AveragePool', ['relu'], ['pooled'], { kernel_shape: [6, 6], strides: [6, 6] })],
      /its last pooling is local/,
    ],
  ])('%s', async (_, operators, reason) => {
    const path = await small(pooledBy(...operators));
    const backbone = await loadBackbone({ model: path });
    await expect(backbone.run(planes, { map: true })).rejects.toThrow(reason);
    await expect(backbone.run(planes, { map: true })).rejects.toThrow(`${path} has no feature map`);
    expect((await backbone.run(planes)).embedding).toHaveLength(16);
  });

  it('an embedding that a layer makes of the pooled features', async () => {
    const path = await saved((graph) => {
      for (const each of graph.node) if (each.opType === 'Gemm') each.output = ['embedding'];
      graph.output = [tensorInfo('embedding', ['n', 5])];
    });
    const backbone = await loadBackbone({ model: path });
    await expect(backbone.run(new Uint8Array(3 * 224 ** 2), { map: true })).rejects.toThrow(
      `${path} has no feature map, so it cannot be shown where a class is seen: its embedding comes from Gemm (embedding)`,
    );
  });
});
