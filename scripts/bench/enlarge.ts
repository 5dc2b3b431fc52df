import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { openDataset } from '../../src/data/open.js';
import { normal } from './training-data.js';

/** Width to height, as phones take them. */
const ASPECT = 4 / 3;

/** Standard deviation of the grain, in grey levels at middle grey: a sensor's noise, which is most of what such a file holds. */
const GRAIN = 8;

/** Grains drawn, which a picture repeats. A prime, so that no row has them where another does. */
const GRAINS = 4_194_301;

const QUALITIES = [85, 90, 95];

/** One in so many is progressive, lies on its side by its EXIF orientation, or has four times the pixels. */
const [PROGRESSIVE, TURNED, LARGER] = [6, 5, 24];

/**
 * Photographs of the size that phones take, made of smaller ones: enlarged, with grain, as JPEG.
 * @param count how many; the given ones take turns
 * @returns the folder, of one picture beside the other
 */
export async function enlargePhotographs(
  dataset: string,
  folder: string,
  { megapixels, count }: { megapixels: number; count: number },
): Promise<string> {
  const out = join(folder, 'enlarged');
  await mkdir(out);
  const paths: string[] = [];
  for await (const { path } of (await openDataset(dataset)).entries()) if (paths.length < count) paths.push(path);
  const random = normal(12);
  const grains = Float32Array.from({ length: GRAINS }, () => GRAIN * random());
  for (let i = 0; i < count; i++) {
    const pixels = megapixels * 1e6 * (i % LARGER === LARGER - 1 ? 4 : 1);
    const height = Math.round(Math.sqrt(pixels / ASPECT));
    const size = { width: Math.round(height * ASPECT), height };
    const enlarged = await sharp(paths[i % paths.length])
      .removeAlpha()
      .toColourspace('srgb')
      .resize({ ...size, fit: 'cover', kernel: 'lanczos3' })
      .raw()
      .toBuffer();
    addGrain(enlarged, grains, i);
    await sharp(enlarged, { raw: { ...size, channels: 3 } })
      .jpeg({ quality: QUALITIES[i % QUALITIES.length]!, progressive: i % PROGRESSIVE === PROGRESSIVE - 1 })
      .withMetadata({ orientation: i % TURNED === TURNED - 1 ? 6 : 1 })
      .toFile(join(out, `${String(i).padStart(5, '0')}.jpg`));
  }
  return out;
}

/** Darkens and lightens bytes at random, black and white not at all. @param offset another one for another picture */
function addGrain(bytes: Buffer, grains: Float32Array, offset: number): void {
  const strength = Float32Array.from({ length: 256 }, (_, value) => (4 * value * (255 - value)) / 255 ** 2);
  for (let i = 0, at = (offset * 99_991) % GRAINS; i < bytes.length; i++) {
    const value = bytes[i]!;
    bytes[i] = Math.min(Math.max(value + strength[value]! * grains[at]!, 0), 255);
    if (++at === GRAINS) at = 0;
  }
}
