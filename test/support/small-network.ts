import { encodeModel, floatTensor, model, node, tensorInfo } from '../../src/onnx/index.js';

/** Somebody else's network, as an .onnx file: pooled features of width 8 and a classifier of 5 classes. */
export function smallNetwork(scale = 1): Uint8Array {
  const weights = (length: number) => Float32Array.from({ length }, (_, i) => scale * Math.cos(i * i));
  return encodeModel(
    model({
      name: 'small',
      nodes: [
        node('Conv', ['image', 'kernel'], ['conv'], { kernel_shape: [7, 7], strides: [4, 4] }, 'stem/conv'),
        node('Relu', ['conv'], ['relu'], {}, 'stem/relu'),
        node('GlobalAveragePool', ['relu'], ['pooled'], {}, 'pool'),
        node('Flatten', ['pooled'], ['flat'], {}, 'flatten'),
        node('Gemm', ['flat', 'w'], ['scores'], {}, 'classifier'),
      ],
      initializers: [
        floatTensor('kernel', [8, 3, 7, 7], weights(8 * 3 * 49)),
        floatTensor('w', [8, 5], weights(40)),
      ],
      inputs: [tensorInfo('image', ['n', 3, 'h', 'w'])],
      outputs: [tensorInfo('scores', ['n', 5])],
    }),
  );
}
