import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import sharp from 'sharp';
import { model, node, tensorInfo } from '../../../src/formats/onnx/build.js';
import { raiseOpset } from '../../../src/formats/onnx/edit.js';
import { takeImages } from '../../../src/formats/onnx/images.js';
import { encodeModel } from '../../../src/formats/onnx/model.js';
import { IMAGENET_TRANSFORM } from '../../../src/image/transform.js';
import { describeWith, stripes } from '../../support/files.js';

/** A network that hands the bytes on. */
const identity = model({
  name: 'identity',
  nodes: [node('Identity', ['pixels'], ['same'])],
  initializers: [],
  inputs: [tensorInfo('pixels', ['batch', 'height', 'width', 3], 'uint8')],
  outputs: [tensorInfo('same', ['batch', 224, 224, 3], 'uint8')],
});
const session = await ort.InferenceSession.create(
  encodeModel(takeImages(raiseOpset(identity, 'identity.onnx'), 'identity.onnx', IMAGENET_TRANSFORM)),
);

async function run(pixels: Uint8Array, dims: [number, number, number]): Promise<ort.Tensor> {
  const { same } = await session.run({ image: new ort.Tensor('uint8', pixels, [...dims, 3]) });
  if (!same) throw new Error('The network has no output.');
  return same;
}

/** Bytes that differ from place to place. */
function made(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7919) >> 5);
}

it.each([
  // Half the rest, rounded half to even: 38.5 and 39.5, 16.
  { width: 301, height: 256, left: 38, top: 16 },
  { width: 256, height: 303, left: 16, top: 40 },
])(
  'of $width × $height pixels, which need no resizing, the middle is cut out',
  async ({ width, height, left, top }) => {
    const image = made(3 * width * height);
    const { data, dims } = await run(image, [1, height, width]);
    expect(dims).toEqual([1, 224, 224, 3]);
    const expected = await sharp(image, { raw: { width, height, channels: 3 } })
      .extract({ left, top, width: 224, height: 224 })
      .raw()
      .toBuffer();
    expect(expected.equals(data as Uint8Array)).toBe(true);
  },
);

it('pictures of one size go through together as they do alone', async () => {
  const [width, height] = [90, 61];
  const raw = async (seed: number) =>
    sharp(await stripes(30, seed, width, height))
      .raw()
      .toBuffer();
  const [one, two] = [await raw(1), await raw(2)];
  const together = (await run(Buffer.concat([one, two]), [2, height, width])).data as Uint8Array;
  const alone = [one, two].map(async (image) => (await run(image, [1, height, width])).data as Uint8Array);
  expect(Buffer.concat(await Promise.all(alone)).equals(together)).toBe(true);
});

describeWith('golden', 'torchvision’s Resize and CenterCrop', (golden) => {
  const { images } = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8')) as { images: string[] };
  const bytes = readFileSync(join(golden, 'inputs.f32'));
  const planes = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  const { mean, std } = IMAGENET_TRANSFORM;

  /** What torchvision made of a picture, before it normalised it; place i of [224, 224, 3]. */
  const expected = (picture: number, i: number) => {
    const [c, place] = [i % 3, Math.floor(i / 3)];
    const value = planes[(3 * picture + c) * 224 * 224 + place] ?? NaN;
    return 255 * (value * (std[c] ?? NaN) + (mean[c] ?? NaN));
  };

  // JPEGs are left out: another decoder makes slightly other pixels of them.
  it.each(images.filter((name) => name.endsWith('.png')))('%s: within 0.05 grey levels on average', async (name) => {
    const picture = sharp(join(golden, 'images', name))
      .toColourspace('srgb')
      .removeAlpha()
      .raw();
    const { data, info } = await picture.toBuffer({ resolveWithObject: true });
    expect(info.channels).toBe(3);
    const found = (await run(data, [1, info.height, info.width])).data as Uint8Array;
    const total = found.reduce((sum, value, i) => sum + Math.abs(value - expected(images.indexOf(name), i)), 0);
    expect(total / found.length).toBeLessThan(0.05);
  });
});
