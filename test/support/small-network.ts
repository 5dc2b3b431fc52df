import { initializer, model, node, tensorInfo } from '../../src/formats/onnx/build.js';
import { encodeModel } from '../../src/formats/onnx/model.js';

/**
 * Somebody else's network, as an .onnx file: pooled features, of width 8 where nothing else is asked for, and a classifier of 5
 * classes.
 */
export function smallNetwork(scale = 1, { width = 8, stride = 4 } = {}): Uint8Array {
  const weights = (length: number) => Float32Array.from({ length }, (_, i) => scale * Math.cos(i * i));
  return encodeModel(
    model({
      name: 'small',
      nodes: [
        node('Conv', ['image', 'kernel'], ['conv'], { kernel_shape: [7, 7], strides: [stride, stride] }, 'stem/conv'),
        node('Relu', ['conv'], ['relu'], {}, 'stem/relu'),
        node('GlobalAveragePool', ['relu'], ['pooled'], {}, 'pool'),
        node('Flatten', ['pooled'], ['flat'], {}, 'flatten'),
        node('Gemm', ['flat', 'w'], ['scores'], {}, 'classifier'),
      ],
      initializers: [
        initializer('kernel', [width, 3, 7, 7], weights(width * 3 * 49)),
        initializer('w', [width, 5], weights(width * 5)),
      ],
      inputs: [tensorInfo('image', ['n', 3, 'h', 'w'])],
      outputs: [tensorInfo('scores', ['n', 5])],
    }),
  );
}
