import sharp from 'sharp';
import { decodeImage, decodeWhole } from '../../src/image/decode.js';
import { thumbnailOf } from '../../src/image/thumbnail.js';
import { IMAGENET_TRANSFORM } from '../../src/image/transform.js';
import { LastlayerError } from '../../src/util/errors.js';
import { ROOT } from '../support/files.js';
import { gridOf, pixelsOf, TILE, tile } from '../support/heic.js';

const [left, right] = [await tile('left'), await tile('right')];

async function whole(bytes: Uint8Array) {
  const { data, width, height } = await decodeWhole(bytes, '#ffffff');
  return { size: [width, height], data: Buffer.from(data) };
}

/** The two tiles side by side, as heif-convert decodes each. */
async function sideBySide() {
  const parts = [await pixelsOf('left'), await pixelsOf('right')].map((input, i) => {
    const raw = { width: TILE, height: TILE, channels: 3 } as const;
    return { input, raw, left: i * TILE, top: 0 };
  });
  const canvas = sharp({ create: { width: 2 * TILE, height: TILE, channels: 3, background: 'black' } });
  const png = await canvas.composite(parts).png().toBuffer();
  return () => sharp(png).removeAlpha();
}

/** Between the samples of the chroma, of which there is one for four pixels, heif-convert 1.15 repeats and later ones interpolate. */
function expectSame(pixels: Uint8Array, expected: Uint8Array): void {
  expect(pixels.length).toBe(expected.length);
  const differences = Array.from(pixels, (value, i) => Math.abs(value - (expected[i] ?? NaN)));
  expect(Math.max(...differences)).toBeLessThanOrEqual(12);
  expect(differences.reduce((sum, value) => sum + value, 0) / differences.length).toBeLessThan(1);
}

describe('a HEIC', () => {
  it.each([
    ['of 8 bits', 'left'],
    ['of 10 bits', 'deep'],
  ] as const)('%s has the pixels that libheif’s own program gives', async (_, name) => {
    const { size, data } = await whole(await tile(name));
    expect(size).toEqual([TILE, TILE]);
    expectSame(data, await pixelsOf(name));
  });

  it('of several pictures in tiles, as iPhones write it, gives the primary picture whole', async () => {
    const { size, data } = await whole(gridOf([left, right]));
    expect(size).toEqual([2 * TILE, TILE]);
    const expected = await sideBySide();
    expectSame(data, await expected().raw().toBuffer());
  });

  it('is turned and mirrored once, by its own properties, whatever its EXIF orientation', async () => {
    const expected = await sideBySide();
    // irot counts quarters counter-clockwise, and sharp rotates clockwise.
    const turned = await whole(gridOf([left, right], { irot: 3, orientation: 6 }));
    expect(turned.size).toEqual([TILE, 2 * TILE]);
    expectSame(turned.data, await expected().rotate(90).raw().toBuffer());
    const mirrored = await whole(gridOf([left, right], { imir: 1, orientation: 2 }));
    expectSame(mirrored.data, await expected().flop().raw().toBuffer());
  });

  it('is resized and cropped as the same pixels in a PNG are', async () => {
    const transform = { ...IMAGENET_TRANSFORM, resize: 40, crop: 32 };
    const raw = await decodeWhole(gridOf([left, right]), '#ffffff');
    const [heic, pixels] = [await decodeImage(gridOf([left, right]), transform), await decodeImage(raw, transform)];
    expect(heic).toMatchObject({ width: 2 * TILE, height: TILE });
    expect(Buffer.compare(heic.pixels, pixels.pixels)).toBe(0);
  });

  it('has a thumbnail', async () => {
    const webp = await thumbnailOf(`${ROOT}/test/fixtures/heic/left.heic`, 32, 80);
    expect(await sharp(webp).metadata()).toMatchObject({ format: 'webp', width: 32, height: 32 });
  });

  it('is refused by its size, before it is decoded, as any picture is', async () => {
    const options = { maxPixels: 2 * TILE ** 2 - 1, svg: false };
    await expect(decodeImage(gridOf([left, right]), IMAGENET_TRANSFORM, options)).rejects.toThrow(
      /its 128 × 64 pixels are more than/,
    );
    const accepted = await decodeImage(left, IMAGENET_TRANSFORM, options);
    expect(accepted).toMatchObject({ width: TILE, height: TILE });
    const claims = gridOf([left, right], { width: 30_000, height: 30_000 });
    await expect(decodeImage(claims, IMAGENET_TRANSFORM)).rejects.toThrow(
      /its 30000 × 30000 pixels are more than the 268 million/,
    );
  });

  it('that is damaged is refused with a reason, and the next one is read', async () => {
    const damaged = [
      left.subarray(0, 300), // in its header
      left.subarray(0, -100), // in its data
      gridOf([left, right], { width: 1000, height: 1000 }), // larger than its tiles
      Buffer.concat([left.subarray(0, 28), Buffer.alloc(500, 0x61)]),
    ];
    for (const bytes of damaged) {
      const failed = decodeImage(bytes, IMAGENET_TRANSFORM);
      await expect(failed).rejects.toThrow(LastlayerError);
      await expect(failed).rejects.toThrow(/^the HEIC is damaged, or of a kind that libheif does not decode \(.+\)$/);
    }
    expect(await decodeImage(left, IMAGENET_TRANSFORM)).toMatchObject({ width: TILE });
  });
});
