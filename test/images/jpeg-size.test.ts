import sharp, { type JpegOptions, type Sharp } from 'sharp';
import { sizeOfPlainJpeg } from '../../src/images/jpeg-size.js';

const WIDTH = 301;
const HEIGHT = 70;

const blank = () =>
  sharp({ create: { width: WIDTH, height: HEIGHT, channels: 3, background: 'rgb(10, 200, 90)' } });

const jpeg = (picture: Sharp, options: JpegOptions = {}) => picture.jpeg(options).toBuffer();

test.each<[string, () => Promise<Buffer>]>([
  ['baseline', () => jpeg(blank())],
  ['progressive', () => jpeg(blank(), { progressive: true })],
  ['without subsampled colour', () => jpeg(blank(), { chromaSubsampling: '4:4:4' })],
  ['grey', () => jpeg(blank().greyscale())],
  ['CMYK', () => jpeg(blank().toColourspace('cmyk'))],
  ['with a colour profile', () => jpeg(blank().withIccProfile('p3'))],
])('the size of a JPEG (%s) is read from its header', async (_, make) => {
  const bytes = await make();
  expect((await sharp(bytes).metadata()).width).toBe(WIDTH);
  expect(sizeOfPlainJpeg(bytes)).toEqual({ width: WIDTH, height: HEIGHT });
});

test.each<[string, () => Promise<Buffer>]>([
  ['a JPEG that its Exif may turn', () => jpeg(blank().withMetadata({ orientation: 6 }))],
  ['a PNG', () => blank().png().toBuffer()],
  ['an empty file', () => Promise.resolve(Buffer.alloc(0))],
])('of %s the decoder is asked', async (_, make) => {
  expect(sizeOfPlainJpeg(await make())).toBeUndefined();
});

test('a header that breaks off at any byte gives its size or nothing', async () => {
  const bytes = await jpeg(blank());
  const sizes = Array.from({ length: bytes.length }, (_, end) => sizeOfPlainJpeg(bytes.subarray(0, end)));
  const known = sizes.findIndex((size) => size !== undefined);
  expect(known).toBeGreaterThan(0);
  expect(sizes.slice(known)).toEqual(sizes.slice(known).map(() => ({ width: WIDTH, height: HEIGHT })));
});
