import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { decodeImage } from '../../src/image/decode.js';
import {
  cropOffset,
  IMAGENET_TRANSFORM,
  imagenetTransform,
  resizedSize,
  transformId,
} from '../../src/image/transform.js';
import { messageOf } from '../../src/util/errors.js';
import { describeWith } from '../support/files.js';

/** An RGB picture whose pixels follow a formula. */
function drawn(width: number, height: number, colour: (x: number, y: number) => number[]): Uint8Array {
  const pixels = [];
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) pixels.push(...colour(x, y).map((v) => v % 256));
  return Uint8Array.from(pixels);
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Array.from(a).reduce((max, value, i) => Math.max(max, Math.abs(value - (b[i] ?? NaN))), 0);
}

describe('sizes and offsets', () => {
  // Made with torchvision 0.28: F.resize(image, 256).size and center_crop's int(round((size - 224) / 2.0)).
  it.each([
    [500, 375, 341, 256, 58, 16],
    [375, 500, 256, 341, 16, 58],
    [768, 512, 384, 256, 80, 16],
    [300, 201, 382, 256, 79, 16],
    [257, 256, 257, 256, 16, 16],
    [100, 30, 853, 256, 314, 16],
    [1024, 1023, 256, 256, 16, 16],
    [333, 777, 256, 597, 16, 186],
  ])('of %d × %d are those of torchvision', (width, height, resizedWidth, resizedHeight, left, top) => {
    const size = resizedSize(width, height, 256);
    expect(size).toEqual({ width: resizedWidth, height: resizedHeight });
    expect([cropOffset(size.width, 224), cropOffset(size.height, 224)]).toEqual([left, top]);
  });
});

describe('pixels', () => {
  it('of an enlargement equal those of Pillow', async () => {
    const data = drawn(5, 4, (x, y) => [x * 50 + y * 7, x * x * 13 + y * 31, 255 - x * 20 - y * y * 9]);
    const transform = { ...IMAGENET_TRANSFORM, resize: 8, crop: 6 };
    const { pixels } = await decodeImage({ data, width: 5, height: 4, channels: 3 }, transform);
    // Made with torchvision 0.28 on Pillow: Resize(8), CenterCrop(6).
    const expected = [
      40, 18, 238, 65, 31, 228, 90, 50, 218, 115, 76, 208, 140, 109, 198, 165, 148, 188, 43, 33, 233, 68, 46, 223, 93,
      65, 213, 118, 91, 203, 143, 124, 193, 168, 163, 183, 47, 49, 224, 72, 62, 214, 97, 81, 204, 122, 107, 194, 147,
      140, 184, 172, 163, 174, 50, 64, 211, 75, 77, 201, 100, 96, 191, 125, 122, 181, 150, 155, 171, 175, 146, 161, 54,
      80, 193, 79, 93, 183, 104, 112, 173, 129, 138, 163, 154, 171, 153, 179, 146, 143, 57, 95, 170, 82, 108, 160, 107,
      127, 150, 132, 153, 140, 157, 186, 130, 182, 161, 120,
    ];
    expect(Array.from(pixels)).toEqual(expected);
  });

  it('of a reduction are within 2 grey levels of Pillow', async () => {
    const data = drawn(40, 30, (x, y) => [x * 37 + y * 91, x * x + y * y * 3, x * y * 5]);
    const transform = { ...IMAGENET_TRANSFORM, resize: 16, crop: 4 };
    const { pixels } = await decodeImage({ data, width: 40, height: 30, channels: 3 }, transform);
    // Made with torchvision 0.28 on Pillow: Resize(16), CenterCrop(4).
    const expected = [
      121, 143, 133, 129, 159, 147, 109, 130, 119, 128, 120, 139, 127, 137, 109, 118, 121, 149, 127, 130, 123, 112, 114,
      110, 112, 115, 118, 130, 126, 149, 115, 111, 148, 124, 127, 128, 114, 125, 142, 114, 123, 163, 133, 142, 127, 113,
      124, 145,
    ];
    expect(largestDifference(pixels, expected)).toBeLessThanOrEqual(2);
  });

  it('of a small photograph are enlarged to the whole crop', async () => {
    const photo = await sharp({ create: { width: 30, height: 20, channels: 3, background: '#336699' } })
      .jpeg()
      .toBuffer();
    const { pixels, width, height } = await decodeImage(photo, IMAGENET_TRANSFORM);
    expect([pixels.length, width, height]).toEqual([224 * 224 * 3, 30, 20]);
    expect(
      largestDifference(
        pixels,
        drawn(224, 224, () => [0x33, 0x66, 0x99]),
      ),
    ).toBeLessThanOrEqual(2);
  });
});

describe('kinds of pictures', () => {
  const transform = { ...IMAGENET_TRANSFORM, resize: 8, crop: 8 };
  /** Red left half, blue right half. */
  const halves = drawn(16, 16, (x) => (x < 8 ? [255, 0, 0] : [0, 0, 255]));
  const picture = () => sharp(halves, { raw: { width: 16, height: 16, channels: 3 } });
  const corners = async (bytes: Uint8Array) => {
    const { pixels } = await decodeImage(bytes, transform);
    return [0, 7, 56, 63].map((i) => Array.from(pixels.subarray(3 * i, 3 * i + 3)));
  };
  const [red, blue] = [
    [255, 0, 0],
    [0, 0, 255],
  ];

  it('are set upright by their EXIF orientation', async () => {
    // Orientation 6 shows the picture turned by 90° clockwise: red, which was left, comes to the top.
    const turned = await picture().withMetadata({ orientation: 6 }).png().toBuffer();
    expect(await corners(turned)).toEqual([red, red, blue, blue]);
  });

  it('have transparency composited on white', async () => {
    const clear = await sharp({
      create: { width: 9, height: 9, channels: 4, background: { r: 0, g: 0, b: 0, alpha: 0 } },
    })
      .png()
      .toBuffer();
    expect(await corners(clear)).toEqual(Array(4).fill([255, 255, 255]));
  });

  it('become RGB from grey, palette and 16 bits', async () => {
    const [grey] = await corners(await picture().greyscale().png().toBuffer());
    expect(new Set(grey).size).toBe(1);
    expect(await corners(await picture().png({ palette: true }).toBuffer())).toEqual([red, blue, red, blue]);
    expect(await corners(await picture().toColourspace('rgb16').png().toBuffer())).toEqual([red, blue, red, blue]);
  });

  it('are read from WebP, AVIF, TIFF, GIF and SVG', async () => {
    const svg = Buffer.from(
      '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"><rect width="8" height="16" fill="red"/>' +
        '<rect x="8" width="8" height="16" fill="blue"/></svg>',
    );
    for (const bytes of [
      await picture().webp({ lossless: true }).toBuffer(),
      await picture().avif({ lossless: true }).toBuffer(),
      await picture().tiff().toBuffer(),
      await picture().gif().toBuffer(),
      svg,
    ]) {
      const found = await corners(bytes);
      expect(largestDifference(found.flat(), [red, blue, red, blue].flat())).toBeLessThanOrEqual(4);
    }
  });

  it('lose their animation but for the first frame', async () => {
    const frames = Buffer.concat([halves, halves.map((v) => 255 - v)]);
    const animated = await sharp(frames, { raw: { width: 16, height: 32, channels: 3, pageHeight: 16 } })
      .gif()
      .toBuffer();
    expect((await sharp(animated).metadata()).pages).toBe(2);
    expect(await corners(animated)).toEqual([red, blue, red, blue]);
  });

  it('are refused where they are truncated, empty or something else', async () => {
    const whole = await picture().resize(400, 400).jpeg().toBuffer();
    await expect(decodeImage(whole.subarray(0, whole.length / 2), transform)).rejects.toThrow(/premature end/);
    await expect(decodeImage(new Uint8Array(), transform)).rejects.toThrow(/empty/i);
    await expect(decodeImage(Buffer.from('just text'), transform)).rejects.toThrow(
      /^it is no picture, or of a kind that is not read$/,
    );
    const short = { data: new Uint8Array(10), width: 2, height: 2, channels: 3 } as const;
    await expect(decodeImage(short, transform)).rejects.toThrow(/takes 12 bytes, 10 were given/);
  });

  it('are refused each for its own reason, however many are decoded at once', async () => {
    const large = picture().resize(400, 400);
    const [jpeg, png] = [await large.jpeg().toBuffer(), await large.png({ compressionLevel: 0 }).toBuffer()];
    const pictures: [Uint8Array, string][] = [
      [
        jpeg.subarray(0, jpeg.length / 2),
        'it is damaged, incomplete or of a rare kind (libvips: VipsJpeg: premature end of JPEG image)',
      ],
      [
        png.subarray(0, png.length / 2),
        'it is damaged, incomplete or of a rare kind (libvips: vipspng: libpng read error)',
      ],
      [Buffer.from('just text'), 'it is no picture, or of a kind that is not read'],
      [jpeg, ''],
    ];
    const many = Array.from({ length: 25 }, () => pictures).flat();
    const reasons = await Promise.all(many.map(([bytes]) => decodeImage(bytes, transform).then(() => '', messageOf)));
    expect(reasons).toEqual(many.map(([, reason]) => reason));
  });
});

describe('the name of a transform', () => {
  it('tells transforms apart by all that decides their output', () => {
    const others = [
      imagenetTransform(192),
      { ...IMAGENET_TRANSFORM, background: '#000000' },
      { ...IMAGENET_TRANSFORM, std: [1, 1, 1] as const },
    ];
    const ids = [IMAGENET_TRANSFORM, ...others].map(transformId);
    expect(new Set(ids).size).toBe(4);
    expect(transformId(imagenetTransform(224))).toBe(transformId(IMAGENET_TRANSFORM));
  });
});

describeWith('golden', 'photographs', (golden) => {
  it('come out as torchvision has them, but for rounding', async () => {
    const { images } = JSON.parse(readFileSync(join(golden, 'expected.json'), 'utf8')) as {
      images: string[];
    };
    const bytes = readFileSync(join(golden, 'inputs.f32'));
    const inputs = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    const plane = 224 * 224;
    const { mean, std } = IMAGENET_TRANSFORM;
    for (const [i, name] of images.entries()) {
      const { pixels } = await decodeImage(readFileSync(join(golden, 'images', name)), IMAGENET_TRANSFORM);
      let sum = 0;
      for (let c = 0; c < 3; c++) {
        for (let p = 0; p < plane; p++) {
          // PyTorch's normalised value, back on the scale of grey levels.
          const normalized = inputs[(3 * i + c) * plane + p] ?? NaN;
          const theirs = 255 * (normalized * (std[c] ?? NaN) + (mean[c] ?? NaN));
          sum += Math.abs((pixels[3 * p + c] ?? NaN) - theirs);
        }
      }
      expect(sum / (3 * plane)).toBeLessThan(0.3);
    }
    expect(images.length).toBeGreaterThan(0);
  });
});
