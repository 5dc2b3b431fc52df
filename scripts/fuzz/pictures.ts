import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import sharp, { type Sharp } from 'sharp';
import { decodeImage } from '../../src/image/decode.js';
import { IMAGENET_TRANSFORM } from '../../src/image/transform.js';
import { mutate } from './mutate.js';
import { fixChecksums, pictureFields } from './picture-fields.js';
import { mutateSvg, SVGS } from './svg.js';
import { sane, type Target } from './target.js';

const PHOTOGRAPH = fileURLToPath(new URL('../../test/fixtures/examples/train/fish/fish-01.jpg', import.meta.url));

const HEIC = fileURLToPath(new URL('../../test/fixtures/heic/', import.meta.url));

/** Small, so that thousands of pictures take minutes; between the sizes of the fixtures. */
const TRANSFORM = { ...IMAGENET_TRANSFORM, resize: 36, crop: 32 };

interface Fixture {
  format: string;
  bytes: Buffer;
}

/** Pictures of nine formats in their variants: progressive, interlaced, tiled, animated, with transparency, with EXIF, in 16 bits. */
async function drawFixtures(): Promise<Fixture[]> {
  const small = (width: number, height: number) => sharp(PHOTOGRAPH).resize(width, height, { fit: 'fill' });
  const large = () => small(72, 56);
  const tiny = () => small(20, 15);
  const clear = () => large().ensureAlpha(0.5);
  const animated = await Promise.all([0, 60, 120].map((hue) => large().modulate({ hue }).png().toBuffer()));
  const frames = () => sharp(animated, { join: { animated: true } });
  const pictures: [string, Sharp][] = [
    ['jpeg', large().jpeg()],
    ['jpeg', large().jpeg({ progressive: true })],
    ['jpeg', tiny().greyscale().jpeg({ optimiseCoding: true })],
    ['jpeg', large().toColourspace('cmyk').jpeg()],
    ['jpeg', large().jpeg().withMetadata({ orientation: 6 })],
    ['png', large().png()],
    ['png', clear().png({ progressive: true })],
    ['png', tiny().png({ palette: true, colours: 16 })],
    ['png', large().toColourspace('rgb16').png()],
    ['webp', large().webp()],
    ['webp', clear().webp({ lossless: true })],
    ['webp', frames().webp({ effort: 0 })],
    ['gif', large().gif()],
    ['gif', frames().gif()],
    ['tiff', large().tiff({ compression: 'lzw', predictor: 'horizontal' })],
    ['tiff', clear().tiff({ compression: 'deflate', tile: true, tileWidth: 32, tileHeight: 32 })],
    ['tiff', large().tiff({ compression: 'jpeg' })],
    ['tiff', tiny().toColourspace('b-w').tiff({ compression: 'ccittfax4', bitdepth: 1 })],
    ['tiff', large().toColourspace('rgb16').tiff({ compression: 'none' })],
    ['avif', large().avif({ effort: 0 })],
    ['avif', clear().avif({ effort: 0, lossless: true })],
  ];
  const drawn = pictures.map(async ([format, picture]) => ({ format, bytes: await picture.toBuffer() }));
  const heic = ['left', 'deep'].map(async (name) => ({ format: 'heic', bytes: await readFile(`${HEIC}${name}.heic`) }));
  const bmp = [24, 8].map(async (bits) => ({ format: 'bmp', bytes: await drawBmp(large(), bits) }));
  return [
    ...(await Promise.all([...drawn, ...heic, ...bmp])),
    ...SVGS.map((svg) => ({ format: 'svg', bytes: Buffer.from(svg) })),
  ];
}

/** A BMP of 24 bits, or of 8 bits in run lengths, of the red alone. */
async function drawBmp(picture: Sharp, bits: number): Promise<Buffer> {
  const { data, info } = await picture.removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const palette =
    bits === 8 ? Buffer.from(Array.from({ length: 256 }, (_, i) => [i, i, i, 0]).flat()) : Buffer.alloc(0);
  const runs = Array.from({ length: info.width * info.height }, (_, i) => {
    const isEndOfLine = (i + 1) % info.width === 0;
    return [1, data[3 * i] ?? 0, ...(isEndOfLine ? [0, 0] : [])];
  });
  const pixels = bits === 8 ? Buffer.from([...runs.flat(), 0, 1]) : data;
  const header = Buffer.alloc(54);
  header.write('BM');
  header.writeUInt32LE(header.length + palette.length + pixels.length, 2);
  header.writeUInt32LE(header.length + palette.length, 10);
  [40, info.width, info.height].forEach((value, i) => header.writeUInt32LE(value, 14 + 4 * i));
  [1, bits, bits === 8 ? 1 : 0].forEach((value, i) => header.writeUInt16LE(value, 26 + 2 * i));
  return Buffer.concat([header, palette, pixels]);
}

/** Mutated pictures, read by `decodeImage`. */
export async function pictureTarget(): Promise<Target> {
  const fixtures = await drawFixtures();
  const others = fixtures.map(({ bytes }) => bytes);
  return {
    mutant: (random) => {
      const { format, bytes } = random.pick(fixtures);
      if (format === 'svg' && random.chance(0.7)) return mutateSvg(bytes.toString(), random);
      const mutant = mutate(bytes, pictureFields(format, bytes), others, random);
      return format === 'png' && random.chance(0.8) ? fixChecksums(mutant) : mutant;
    },
    attempt: async (bytes) => {
      const { pixels, width, height } = await decodeImage(bytes, TRANSFORM);
      sane(pixels.length === 3 * TRANSFORM.crop ** 2, `${pixels.length} bytes of pixels`);
      sane(Number.isInteger(width) && width > 0 && Number.isInteger(height) && height > 0, `${width} × ${height}`);
    },
  };
}
