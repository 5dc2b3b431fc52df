import { create } from '@bufbuild/protobuf';
import { AttributeProtoSchema, type ModelProto, type NodeProto, TensorProto_DataLocation } from 'onnx-buf';
import * as ort from 'onnxruntime-node';
import { initializer, model, node, tensorInfo } from '../../../src/formats/onnx/build.js';
import { cutAtPooling } from '../../../src/formats/onnx/cut.js';
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
    const backbone = cutAtPooling(network(pooling), 'test.onnx', { keepLogits: true });
    const { embedding, logits } = await run(backbone, 3);
    const { scores } = await run(network(pooling), 3);
    expect(embedding?.dims).toEqual([3, 4]);
    expect(logits?.data).toEqual(scores?.data);
    // The embedding is what the classifier reads: multiplying it by w gives the scores.
    const x = Array.from(embedding?.data as Float32Array).slice(0, 4);
    const score = x.reduce((sum, value, i) => sum + value * (1 + 2 * i), 0);
    expect(score).toBeCloseTo(Number((scores?.data as Float32Array)[0]), 4);
  });

  it('without the classifier and its weights, unless they are wanted', () => {
    const whole = network([node('GlobalAveragePool', ['relu'], ['pooled'])]);
    const graph = graphOf(cutAtPooling(whole, 'test.onnx', { keepLogits: false }), 'test.onnx');
    expect(graph.initializer.map(({ name }) => name)).toEqual(['kernel']);
    expect(graph.node.map(({ opType }) => opType)).toEqual(['Conv', 'Relu', 'GlobalAveragePool', 'Flatten']);
  });

  it('with the last pooling before the output, not an earlier one', () => {
    const squeeze = [
      node('GlobalAveragePool', ['relu'], ['squeezed']),
      node('Mul', ['relu', 'squeezed'], ['excited']),
      node('GlobalAveragePool', ['excited'], ['pooled'], {}, 'last'),
    ];
    const graph = graphOf(cutAtPooling(network(squeeze), 'test.onnx', { keepLogits: false }), 'test.onnx');
    expect(graph.node.at(-2)?.name).toBe('last');
  });

  it('and takes batches of any size, even if it was exported for one picture', async () => {
    const pooling = [node('GlobalAveragePool', ['relu'], ['pooled'])];
    const single = network(pooling, tensorInfo('x', [1, 3, 5, 5]));
    expect(inputSize(single, 'test.onnx')).toEqual({ height: 5, width: 5 });
    const { embedding } = await run(cutAtPooling(single, 'test.onnx', { keepLogits: false }), 2);
    expect(embedding?.dims).toEqual([2, 4]);
    // Its classifier may be good for one picture only, so it is not kept.
    const kept = graphOf(cutAtPooling(single, 'test.onnx', { keepLogits: true }), 'test.onnx');
    expect(kept.output.map(({ name }) => name)).toEqual(['embedding']);
  });

  it('but is left alone where it has an embedding already', () => {
    const backbone = cutAtPooling(network([node('GlobalAveragePool', ['relu'], ['pooled'])]), 'a', {
      keepLogits: true,
    });
    expect(cutAtPooling(backbone, 'a', { keepLogits: false })).toBe(backbone);
    expect(outputWidth(backbone, 'embedding')).toBeUndefined();
  });
});

describe('a network of no use is refused', () => {
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

  it('whose weights lie in another file', () => {
    const outside = network([node('GlobalAveragePool', ['relu'], ['pooled'])]);
    const tensor = outside.graph?.initializer[0];
    tensor?.externalData.push({
      $typeName: 'onnx.StringStringEntryProto',
      key: 'location',
      value: '../../../etc/passwd',
    });
    expect(() => decodeModel(encodeModel(outside), 'split.onnx')).toThrow(/weights of kernel in another file/);
    // A constant in the graph of a branch is no initializer, and yet onnxruntime would look for its file.
    const constant = node('Constant', [], ['inner']);
    const values = initializer('inner', [1], Float32Array.of(1));
    values.dataLocation = TensorProto_DataLocation.EXTERNAL;
    constant.attribute.push(create(AttributeProtoSchema, { name: 'value', t: values }));
    const branch = node('If', ['condition'], ['result']);
    const { graph } = network([constant]);
    if (graph) branch.attribute.push(create(AttributeProtoSchema, { name: 'then_branch', g: graph }));
    const hidden = encodeModel(network([node('GlobalAveragePool', ['relu'], ['pooled']), branch]));
    expect(() => decodeModel(hidden, 'hidden.onnx')).toThrow(/weights of inner in another file/);
  });
});
