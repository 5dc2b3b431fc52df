import sharp, { type JpegOptions, type Sharp } from 'sharp';
import { headerOfPlainJpeg } from '../../src/image/decode.js';
import { headerOf } from '../../src/image/render.js';

const WIDTH = 301;
const HEIGHT = 70;

const blank = () => sharp({ create: { width: WIDTH, height: HEIGHT, channels: 3, background: 'rgb(10, 200, 90)' } });

const jpeg = (picture: Sharp, options: JpegOptions = {}) => picture.jpeg(options).toBuffer();

test.each<[string, () => Promise<Buffer>]>([
  ['baseline', () => jpeg(blank())],
  ['progressive', () => jpeg(blank(), { progressive: true })],
  ['without subsampled colour', () => jpeg(blank(), { chromaSubsampling: '4:4:4' })],
  ['grey', () => jpeg(blank().greyscale())],
  ['CMYK', () => jpeg(blank().toColourspace('cmyk'))],
  ['with a colour profile', () => jpeg(blank().withIccProfile('p3'))],
])('the header of a JPEG (%s) is read as the decoder reads it', async (_, make) => {
  const bytes = await make();
  const header = headerOfPlainJpeg(bytes);
  expect(header).toMatchObject({ width: WIDTH, height: HEIGHT });
  expect(header).toEqual(await headerOf(bytes));
});

test.each<[string, () => Promise<Buffer>]>([
  ['a JPEG that its Exif may turn', () => jpeg(blank().withMetadata({ orientation: 6 }))],
  ['a PNG', () => blank().png().toBuffer()],
  ['an empty file', () => Promise.resolve(Buffer.alloc(0))],
])('of %s the decoder is asked', async (_, make) => {
  expect(headerOfPlainJpeg(await make())).toBeUndefined();
});

test('a header that breaks off at any byte gives what it says or nothing', async () => {
  const bytes = await jpeg(blank());
  const headers = Array.from({ length: bytes.length }, (_, end) => headerOfPlainJpeg(bytes.subarray(0, end)));
  const known = headers.findIndex((header) => header !== undefined);
  expect(known).toBeGreaterThan(0);
  const whole = headerOfPlainJpeg(bytes);
  expect(headers.slice(known)).toEqual(headers.slice(known).map(() => whole));
});
