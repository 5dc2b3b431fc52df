import type { ModelProto, NodeProto } from 'onnx-buf';
import * as ort from 'onnxruntime-node';
import { initializer, model, node, tensorInfo } from '../../../src/formats/onnx/build.js';
import { tensorsOfOnePicture } from '../../../src/backbone/session.js';
import { cutAtPooling, measurable } from '../../../src/formats/onnx/cut.js';
import { decodeModel, encodeModel, graphOf, inputSize, outputWidth } from '../../../src/formats/onnx/model.js';

/** A convolution to 4 channels, a pooling as given, and a classifier on top, with the input as given. */
function network(pooling: NodeProto[], input = tensorInfo('x', ['n', 3, 'h', 'w']), pooledName = 'pooled'): ModelProto {
  return model({
    name: 'test',
    nodes: [
      node('Conv', ['x', 'kernel'], ['conv'], { kernel_shape: [1, 1] }),
      node('Relu', ['conv'], ['relu']),
      ...pooling,
      node('Flatten', [pooledName], ['flat']),
      node('Gemm', ['flat', 'w'], ['scores']),
    ],
    initializers: [
      initializer(
        'kernel',
        [4, 3, 1, 1],
        Float32Array.from({ length: 12 }, (_, i) => Math.cos(i)),
      ),
      initializer('w', [4, 2], Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8)),
    ],
    inputs: [input],
    outputs: [tensorInfo('scores', ['n', 2])],
  });
}

/** Cuts a network of pictures of 5 × 5 pixels. */
async function cut(network: ModelProto, { keepLogits = true } = {}, path = 'test.onnx'): Promise<ModelProto> {
  const measured = await tensorsOfOnePicture(network, path, measurable(network, path), 5);
  return cutAtPooling(network, path, { keepLogits, measured });
}

async function run(graph: ModelProto, count: number): Promise<Record<string, ort.Tensor>> {
  const session = await ort.InferenceSession.create(encodeModel(graph));
  const pixels = Float32Array.from({ length: count * 3 * 25 }, (_, i) => Math.sin(i));
  return { ...(await session.run({ x: new ort.Tensor('float32', pixels, [count, 3, 5, 5]) })) };
}

describe('a network is truncated at its pooled features', () => {
  it.each<[string, NodeProto[]]>([
    ['GlobalAveragePool', [node('GlobalAveragePool', ['relu'], ['pooled'])]],
    ['GlobalMaxPool', [node('GlobalMaxPool', ['relu'], ['pooled'])]],
    ['AveragePool', [node('AveragePool', ['relu'], ['pooled'], { kernel_shape: [5, 5] })]],
    ['ReduceMean over an attribute', [node('ReduceMean', ['relu'], ['pooled'], { axes: [2, 3], keepdims: 1 })]],
    ['ReduceMax over negative axes', [node('ReduceMax', ['relu'], ['pooled'], { axes: [-1, -2], keepdims: 0 })]],
  ])('after %s', async (_, pooling) => {
    const backbone = await cut(network(pooling));
    const { embedding, logits } = await run(backbone, 3);
    const { scores } = await run(network(pooling), 3);
    expect(embedding?.dims).toEqual([3, 4]);
    expect(logits?.data).toEqual(scores?.data);
    // The embedding is what the classifier reads: multiplying it by w gives the scores.
    const x = Array.from(embedding?.data as Float32Array).slice(0, 4);
    const score = x.reduce((sum, value, i) => sum + value * (1 + 2 * i), 0);
    expect(score).toBeCloseTo(Number((scores?.data as Float32Array)[0]), 4);
  });

  it('without the classifier and its weights, unless they are wanted', async () => {
    const whole = network([node('GlobalAveragePool', ['relu'], ['pooled'])]);
    const graph = graphOf(await cut(whole, { keepLogits: false }), 'test.onnx');
    expect(graph.initializer.map(({ name }) => name)).toEqual(['kernel']);
    expect(graph.node.map(({ opType }) => opType)).toEqual(['Conv', 'Relu', 'GlobalAveragePool', 'Flatten']);
  });

  it('with the last pooling before the output, not an earlier one', async () => {
    const squeeze = [
      node('GlobalAveragePool', ['relu'], ['squeezed']),
      node('Mul', ['relu', 'squeezed'], ['excited']),
      node('GlobalAveragePool', ['excited'], ['pooled'], {}, 'last'),
    ];
    const graph = graphOf(await cut(network(squeeze)), 'test.onnx');
    expect(graph.node.find(({ output }) => output.includes('embedding'))?.input).toEqual(['pooled']);
  });

  it('and takes batches of any size, even if it was exported for one picture', async () => {
    const pooling = [node('GlobalAveragePool', ['relu'], ['pooled'])];
    const single = network(pooling, tensorInfo('x', [1, 3, 5, 5]));
    expect(inputSize(single, 'test.onnx')).toEqual({ height: 5, width: 5 });
    const { embedding } = await run(await cut(single), 2);
    expect(embedding?.dims).toEqual([2, 4]);
    // Its classifier may be good for one picture only, so it is not kept.
    const kept = graphOf(await cut(single), 'test.onnx');
    expect(kept.output.map(({ name }) => name)).toEqual(['embedding']);
  });

  it('but is left alone where it has an embedding already', async () => {
    const backbone = await cut(network([node('GlobalAveragePool', ['relu'], ['pooled'])]));
    expect(cutAtPooling(backbone, 'a', { keepLogits: false })).toBe(backbone);
    expect(outputWidth(backbone, 'embedding')).toBeUndefined();
  });
});

describe('a network of no use is refused', () => {
  it.each([
    ['average', [node('AveragePool', ['relu'], ['pooled'], { kernel_shape: [2, 2], strides: [2, 2] })]],
    ['maximum', [node('MaxPool', ['relu'], ['pooled'], { kernel_shape: [4, 4] })]],
    ['average of rows', [node('ReduceMean', ['relu'], ['pooled'], { axes: [3] })]],
    [
      'global one on one way alone',
      [node('GlobalAveragePool', ['relu'], ['squeezed']), node('Mul', ['relu', 'squeezed'], ['pooled'])],
    ],
  ])('with local pooling alone: %s', async (_, pooling) => {
    const local = network([...pooling, node('GlobalAveragePool', ['pooled'], ['unused'])]);
    // The scores are of all positions.
    const graph = graphOf(local, 'local.onnx');
    graph.node = graph.node.filter(({ opType }) => opType !== 'Gemm');
    graph.output = [tensorInfo('flat', ['n', 'positions'])];
    await expect(cut(local, {}, 'local.onnx')).rejects.toThrow(
      /local\.onnx has no global pooling before its output .*`npm run inspect -- --model FILE --features` lists/,
    );
  });

  it('without global pooling, with its last operators named', () => {
    const flat = network([node('Identity', ['relu'], ['pooled'])]);
    expect(() => cutAtPooling(flat, 'mine.onnx', { keepLogits: false })).toThrow(
      /mine\.onnx has no global pooling before its output \(its last operators are Relu, Identity, Flatten, Gemm\)/,
    );
  });

  it('with an input that is no picture', () => {
    const pooling = [node('GlobalAveragePool', ['relu'], ['pooled'])];
    const options = { keepLogits: false };
    const grey = network(pooling, tensorInfo('x', ['n', 1, 'h', 'w']));
    expect(() => cutAtPooling(grey, 'grey.onnx', options)).toThrow(/input x is FLOAT \[n, 1, h, w\] where/);
    const tokens = network(pooling, tensorInfo('x', ['n', 77], 'int64'));
    expect(() => cutAtPooling(tokens, 'text.onnx', options)).toThrow(/input x is INT64 \[n, 77\]/);
  });

  it('whose bytes are no ONNX', () => {
    expect(() => decodeModel(Buffer.from('just text'), 'text.onnx')).toThrow(/text\.onnx is not an ONNX model/);
    expect(() => decodeModel(new Uint8Array(), 'none.onnx')).toThrow(/none\.onnx is not an ONNX model/);
  });
});
