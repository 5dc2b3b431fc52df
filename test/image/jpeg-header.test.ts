import sharp, { type JpegOptions, type Sharp } from 'sharp';
import { headerOfJpeg } from '../../src/image/jpeg-header.js';
import { headerOf } from '../../src/image/render.js';

const WIDTH = 301;
const HEIGHT = 70;

const blank = () => sharp({ create: { width: WIDTH, height: HEIGHT, channels: 3, background: 'rgb(10, 200, 90)' } });

const jpeg = (picture: Sharp, options: JpegOptions = {}) => picture.jpeg(options).toBuffer();

/** An entry of Exif: tag, type, count, value. */
type Entry = [number, number, number, number];

const TURNED: Entry = [0x112, 3, 1, 6 << 16];
const UPRIGHT: Entry = [0x112, 3, 1, 1 << 16];
const COMPRESSION: Entry = [0x103, 3, 1, 6 << 16];

/** A segment of Exif. Values of two bytes are in the upper half. */
function exif(order: 'II' | 'MM', entries: Entry[]): Buffer {
  const view = new DataView(new ArrayBuffer(14 + 12 * entries.length));
  const isLittle = order === 'II';
  view.setUint16(0, order === 'II' ? 0x4949 : 0x4d4d);
  view.setUint16(2, 42, isLittle);
  view.setUint32(4, 8, isLittle);
  view.setUint16(8, entries.length, isLittle);
  entries.forEach(([tag, type, count, value], i) => {
    const at = 10 + 12 * i;
    view.setUint16(at, tag, isLittle);
    view.setUint16(at + 2, type, isLittle);
    view.setUint32(at + 4, count, isLittle);
    view.setUint16(at + 8, value >>> 16, isLittle);
  });
  return Buffer.concat([Buffer.from('Exif\0\0'), Buffer.from(view.buffer)]);
}

/** Puts a segment of application data before all others. */
function withExif(bytes: Buffer, segment: Buffer): Buffer {
  const head = Buffer.from([0xff, 0xe1, 0, 0]);
  head.writeUInt16BE(segment.length + 2, 2);
  return Buffer.concat([bytes.subarray(0, 2), head, segment, bytes.subarray(2)]);
}

test.each<[string, () => Promise<Buffer>]>([
  ['baseline', () => jpeg(blank())],
  ['progressive', () => jpeg(blank(), { progressive: true })],
  ['without subsampled colour', () => jpeg(blank(), { chromaSubsampling: '4:4:4' })],
  ['grey', () => jpeg(blank().greyscale())],
  ['CMYK', () => jpeg(blank().toColourspace('cmyk'))],
  ['with a colour profile', () => jpeg(blank().withIccProfile('p3'))],
])('the header of a JPEG (%s) is read as the decoder reads it', async (_, make) => {
  const bytes = await make();
  const header = headerOfJpeg(bytes);
  expect(header).toMatchObject({ width: WIDTH, height: HEIGHT });
  expect(header).toEqual(await headerOf(bytes));
});

describe.each([1, 2, 3, 4, 5, 6, 7, 8])('orientation %d', (orientation) => {
  const entry: Entry = [0x112, 3, 1, orientation << 16];

  test.each<[string, () => Promise<Buffer>]>([
    ['by sharp', () => jpeg(blank().withMetadata({ orientation }))],
    ['least significant byte first', async () => withExif(await jpeg(blank()), exif('II', [COMPRESSION, entry]))],
    ['most significant byte first', async () => withExif(await jpeg(blank()), exif('MM', [COMPRESSION, entry]))],
    ['after XMP', () => jpeg(blank().withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"/>').withMetadata({ orientation }))],
  ])('is read as the decoder reads it (%s)', async (_, make) => {
    const bytes = await make();
    const header = headerOfJpeg(bytes);
    expect(header).toMatchObject(orientation < 5 ? { width: WIDTH, height: HEIGHT } : { width: HEIGHT, height: WIDTH });
    expect(header).toEqual(await headerOf(bytes));
  });
});

test.each<[string, () => Promise<Buffer>]>([
  ['a JPEG whose orientation is 9', async () => withExif(await jpeg(blank()), exif('MM', [[0x112, 3, 1, 9 << 16]]))],
  ['a JPEG with two orientations', async () => withExif(await jpeg(blank()), exif('MM', [TURNED, UPRIGHT]))],
  ['a JPEG whose Exif breaks off', async () => withExif(await jpeg(blank()), exif('MM', [TURNED]).subarray(0, -8))],
  [
    'a JPEG with Exif twice',
    async () => withExif(await jpeg(blank().withMetadata({ orientation: 6 })), exif('MM', [])),
  ],
  ['a PNG', () => blank().png().toBuffer()],
  ['an empty file', () => Promise.resolve(Buffer.alloc(0))],
])('of %s the decoder is asked', async (_, make) => {
  expect(headerOfJpeg(await make())).toBeUndefined();
});

test('a header that breaks off at any byte gives what it says or nothing', async () => {
  const bytes = await jpeg(blank());
  const headers = Array.from({ length: bytes.length }, (_, end) => headerOfJpeg(bytes.subarray(0, end)));
  const known = headers.findIndex((header) => header !== undefined);
  expect(known).toBeGreaterThan(0);
  const whole = headerOfJpeg(bytes);
  expect(headers.slice(known)).toEqual(headers.slice(known).map(() => whole));
});
