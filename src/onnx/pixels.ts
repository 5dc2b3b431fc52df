import { TensorProto_DataType as DataType, type ModelProto } from 'onnx-buf';
import { floatTensor, node, tensorInfo } from './build.js';
import { extend } from './extend.js';
import { pictureInput } from './input-output.js';
import { graphOf } from './model.js';

/**
 * The same network with interleaved RGB bytes as its input: `pixels` uint8 [batch, height, width, 3] become planes of
 * (value / 255 − mean) / std inside the graph, where it costs less than in JavaScript.
 * @param normalization mean and std of each channel, on the scale 0 … 1
 * @throws {LastlayerError} where the network has no picture as its input
 */
export function takePixels(
  model: ModelProto,
  path: string,
  { mean, std }: { mean: readonly number[]; std: readonly number[] },
): ModelProto {
  const input = pictureInput(graphOf(model, path), path);
  const perChannel = (name: string, values: number[]) =>
    floatTensor(name, [values.length], Float32Array.from(values));
  // A BatchNormalization of those statistics: in onnxruntime, Sub and Div with broadcasting take ten times as long.
  const statistics = ['pixels.one', 'pixels.zero', 'pixels.mean', 'pixels.variance'];
  return extend(model, path, {
    before: [
      node('Transpose', ['pixels'], ['pixels.planes'], { perm: [0, 3, 1, 2] }),
      node('Cast', ['pixels.planes'], ['pixels.float'], { to: DataType.FLOAT }),
      node('BatchNormalization', ['pixels.float', ...statistics], [input.name], { epsilon: { float: 0 } }),
    ],
    initializers: [
      perChannel('pixels.one', [1, 1, 1]),
      perChannel('pixels.zero', [0, 0, 0]),
      perChannel(
        'pixels.mean',
        mean.map((m) => 255 * m),
      ),
      perChannel(
        'pixels.variance',
        std.map((s) => (255 * s) ** 2),
      ),
    ],
    inputs: [tensorInfo('pixels', ['batch', 'height', 'width', 3], 'uint8')],
  });
}
