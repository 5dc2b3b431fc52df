import * as ort from 'onnxruntime-node';
import { model, node, tensorInfo } from '../../../src/formats/onnx/build.js';
import { takePixels } from '../../../src/formats/onnx/images.js';
import { encodeModel } from '../../../src/formats/onnx/model.js';
import { IMAGENET_TRANSFORM } from '../../../src/image/transform.js';

/** A network that hands its input on. */
const identity = model({
  name: 'identity',
  nodes: [node('Identity', ['image'], ['same'])],
  initializers: [],
  inputs: [tensorInfo('image', ['n', 3, 'h', 'w'])],
  outputs: [tensorInfo('same', ['n', 3, 'h', 'w'])],
});

it('bytes become planes as ToTensor and Normalize make them', async () => {
  const session = await ort.InferenceSession.create(
    encodeModel(takePixels(identity, 'identity.onnx', IMAGENET_TRANSFORM)),
  );
  // Two pictures of 2 × 1 pixels.
  const pixels = Uint8Array.of(0, 128, 255, 17, 3, 200, 255, 255, 255, 1, 2, 3);
  const { same } = await session.run({ pixels: new ort.Tensor('uint8', pixels, [2, 1, 2, 3]) });
  expect(same?.dims).toEqual([2, 3, 1, 2]);
  // torchvision's ToTensor and Normalize.
  const expected = [
    [
      -2.1179039478302, -1.8267831802368164, 0.20518219470977783, -1.983193278312683, 2.640000104904175,
      1.6813944578170776,
    ],
    [
      2.248908281326294, -2.1007792949676514, 2.4285714626312256, -2.0007002353668213, 2.640000104904175,
      -1.7521568536758423,
    ],
  ].flat();
  const found = [...(same?.data as Float32Array)];
  expect(found).toHaveLength(12);
  found.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i] ?? NaN, 5);
  });
});
