import sharp, { type Sharp } from 'sharp';
import { decodeImage } from '../../src/image/decode.js';
import { chromaOf, type Fingerprint, fingerprintOf } from '../../src/image/fingerprint.js';
import { IMAGENET_TRANSFORM } from '../../src/image/transform.js';

const RED = { r: 255, g: 0, b: 0 };
const GREY = { r: 119, g: 119, b: 119 };

function picture(
  width: number,
  height: number,
  background: { r: number; g: number; b: number; alpha?: number },
  channels: 3 | 4 = 3,
) {
  return sharp({ create: { width, height, channels, background } });
}

/** The least and the most brightness, and the chroma. */
function rangesOf(fingerprint: Fingerprint): { luma: [number, number]; chroma: number } {
  expect(fingerprint).toHaveLength(257);
  const cells = fingerprint.subarray(0, 256);
  return { luma: [Math.min(...cells), Math.max(...cells)], chroma: chromaOf(fingerprint) };
}

// Rec. 601: 0.299 · 255 = 76.2 for red.
it.each<[string, Sharp, number, number]>([
  ['of one pixel', picture(1, 1, RED).png(), 76, 255],
  ['as high as a PNG or JPEG may be', picture(1, 65_535, RED).png(), 76, 255],
  ['as wide as that', picture(65_535, 1, RED).png(), 76, 255],
  ['in grey', picture(20, 20, GREY).toColourspace('b-w').png(), 119, 0],
  ['in grey of 16 bits', picture(300, 300, GREY).toColourspace('grey16').png(), 119, 0],
  ['in colours of 16 bits', picture(20, 20, RED).toColourspace('rgb16').png(), 76, 255],
  ['of a palette', picture(20, 20, RED).png({ palette: true }), 76, 255],
  ['that is transparent, on white', picture(20, 20, { ...RED, alpha: 0 }, 4).png(), 255, 0],
])('a picture %s looks as it is, in every cell', async (_, encoder, luma, chroma) => {
  const { pixels } = await decodeImage(await encoder.toBuffer(), IMAGENET_TRANSFORM);
  expect(rangesOf(fingerprintOf(pixels))).toEqual({ luma: [luma, luma], chroma });
});

it('a picture in CMYK, of which the colours are the printer’s, looks much like it', async () => {
  const encoder = picture(300, 300, RED).toColourspace('cmyk');
  for (const bytes of [await encoder.clone().jpeg().toBuffer(), await encoder.clone().tiff().toBuffer()]) {
    expect((await sharp(bytes).metadata()).space).toBe('cmyk');
    const { luma, chroma } = rangesOf(fingerprintOf((await decodeImage(bytes, IMAGENET_TRANSFORM)).pixels));
    for (const value of luma) expect(Math.abs(value - 76)).toBeLessThan(16);
    expect(chroma).toBeGreaterThan(200);
  }
});

// Networks of small pictures have such crops.
it.each([1, 2, 8, 15, 16, 20, 28, 31, 32, 33, 224])('squares of %d pixels a side have no empty cell', (side) => {
  const red = Uint8Array.from({ length: 3 * side * side }, (_, i) => (i % 3 === 0 ? 255 : 0));
  expect(rangesOf(fingerprintOf(red))).toEqual({ luma: [76, 76], chroma: 255 });
});

it('a square as large as the fingerprint is the fingerprint', () => {
  const pixels = Uint8Array.from({ length: 3 * 256 }, (_, i) => Math.floor(i / 3));
  expect([...fingerprintOf(pixels)]).toEqual([...Array(256).keys(), 0]);
});
