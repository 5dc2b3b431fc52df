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

/** Pictures of eight formats in their variants: progressive, interlaced, tiled, animated, with transparency, with EXIF, in 16 bits. */
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
  return [
    ...(await Promise.all([...drawn, ...heic])),
    ...SVGS.map((svg) => ({ format: 'svg', bytes: Buffer.from(svg) })),
  ];
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
