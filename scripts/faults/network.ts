import { encodeModel, floatTensor, model, node, tensorInfo } from '../../src/onnx/index.js';

/** A network whose file takes some room: pooled features of the given width. */
export function smallNetwork(width: number): Uint8Array {
  const weights = Float32Array.from({ length: width * 3 * 49 }, (_, i) => Math.cos(i * i));
  return encodeModel(
    model({
      name: 'small',
      nodes: [
        node('Conv', ['image', 'kernel'], ['conv'], { kernel_shape: [7, 7], strides: [32, 32] }),
        node('Relu', ['conv'], ['relu']),
        node('GlobalAveragePool', ['relu'], ['pooled']),
        node('Flatten', ['pooled'], ['embedding']),
      ],
      initializers: [floatTensor('kernel', [width, 3, 7, 7], weights)],
      inputs: [tensorInfo('image', ['n', 3, 224, 224])],
      outputs: [tensorInfo('embedding', ['n', width])],
    }),
  );
}
