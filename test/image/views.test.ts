import { createHash } from 'node:crypto';
import sharp from 'sharp';
import { decodeImage, decodeViews } from '../../src/image/decode.js';
import { IMAGENET_TRANSFORM } from '../../src/image/transform.js';
import { AUGMENTED_VIEWS, augmentedViews, type View } from '../../src/image/views.js';

const ALL: View[] = ['center', ...AUGMENTED_VIEWS];

/** A photograph of some size, as JPEG: noise that is smooth enough to look like one to the codec. */
async function photograph(width: number, height: number): Promise<Buffer> {
  const noise = { type: 'gaussian', mean: 128, sigma: 60 } as const;
  const create = { width: 40, height: 30, channels: 3, background: '#888888', noise } as const;
  return sharp({ create }).resize(width, height, { fit: 'fill' }).jpeg().toBuffer();
}

test('of a small picture, the ten crops are those of torchvision', async () => {
  const data = new Uint8Array(5 * 4 * 3);
  for (let y = 0; y < 4; y++) {
    for (let x = 0; x < 5; x++) {
      data.set([x * 50 + y * 7, x * x * 13 + y * 31, 255 - x * 20 - y * y * 9], (y * 5 + x) * 3);
    }
  }
  const transform = { ...IMAGENET_TRANSFORM, resize: 8, crop: 6 };
  const found = await decodeViews({ data, width: 5, height: 4, channels: 3 }, transform, ALL);
  const digests = found.map(({ pixels }) => createHash('sha256').update(pixels).digest('hex').slice(0, 16));
  // Made with torchvision 0.28 on Pillow: ten_crop(resize(image, 8), 6), by the sha256 of the bytes of each crop. It mirrors
  // the picture before it cuts, so that the mirror image of our left corner is its right corner.
  expect(Object.fromEntries(ALL.map((view, i) => [view, digests[i]]))).toEqual({
    center: 'ffbbc189d11ecf77',
    flip: '581a41f08206e6df',
    'top-left': 'cd951e8d43da8269',
    'top-right': '3f9f5f7da370c134',
    'bottom-left': 'af634e0671eb359b',
    'bottom-right': '98b68c4cd7867919',
    'top-left-flip': '5faeb35538922c77',
    'top-right-flip': '4331a55cd2dfce0a',
    'bottom-left-flip': 'fb9917be93556659',
    'bottom-right-flip': 'd430197dcd975bdc',
  });
});

test.each([
  [640, 480],
  [300, 700],
  [256, 256],
])('of a %d × %d picture, views are what sharp cuts out by itself, and the center is as ever', async (...size) => {
  const picture = await photograph(...size);
  const [center, flip, topLeft, , , bottomRight] = await decodeViews(picture, IMAGENET_TRANSFORM, ALL);
  expect(center).toEqual(await decodeImage(picture, IMAGENET_TRANSFORM));

  const scale = 256 / Math.min(...size);
  const [width, height] = size.map((side) => Math.floor(side * scale));
  const resized = sharp(picture).resize(width, height, {
    ...{ fit: 'fill', kernel: 'linear', fastShrinkOnLoad: false },
  });
  const corner = (left: number, top: number) =>
    resized.clone().extract({ left, top, width: 224, height: 224 }).removeAlpha().raw().toBuffer();
  expect(Buffer.from(topLeft?.pixels ?? [])).toEqual(await corner(0, 0));
  expect(Buffer.from(bottomRight?.pixels ?? [])).toEqual(await corner((width ?? 0) - 224, (height ?? 0) - 224));
  const raw = { width: 224, height: 224, channels: 3 } as const;
  const flopped = await sharp(Buffer.from(center?.pixels ?? []), { raw })
    .flop()
    .raw()
    .toBuffer();
  expect(Buffer.from(flip?.pixels ?? [])).toEqual(flopped);
});

test('mirrored corners are there where both sets of views are', () => {
  expect(augmentedViews([])).toEqual([]);
  expect(augmentedViews(['flip'])).toEqual(['flip']);
  expect(augmentedViews(['crops'])).toEqual(['top-left', 'top-right', 'bottom-left', 'bottom-right']);
  expect(augmentedViews(['crops', 'flip'])).toEqual(AUGMENTED_VIEWS);
});
