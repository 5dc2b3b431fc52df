import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { openDataset } from '../../src/data/open.js';

/** Width to height, as phones take them. */
const ASPECT = 4 / 3;

/** Standard deviation of the grain, in grey levels: a sensor's noise, which is most of what such a file holds. */
const GRAIN = 16;

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
  for (let i = 0; i < count; i++) {
    const pixels = megapixels * 1e6 * (i % LARGER === LARGER - 1 ? 4 : 1);
    const height = Math.round(Math.sqrt(pixels / ASPECT));
    const size = { width: Math.round(height * ASPECT), height };
    const noise = { type: 'gaussian' as const, mean: 128, sigma: GRAIN };
    const grain = await sharp({ create: { ...size, channels: 3, background: '#808080', noise } })
      .png({ compressionLevel: 0 })
      .toBuffer();
    await sharp(paths[i % paths.length])
      .removeAlpha()
      .resize({ ...size, kernel: 'lanczos3' })
      // Around the middle grey of the grain, it darkens and lightens.
      .composite([{ input: grain, blend: 'soft-light' }])
      .jpeg({ quality: QUALITIES[i % QUALITIES.length]!, progressive: i % PROGRESSIVE === PROGRESSIVE - 1 })
      .withMetadata(i % TURNED === TURNED - 1 ? { orientation: 6 } : {})
      .toFile(join(out, `${String(i).padStart(5, '0')}.jpg`));
  }
  return out;
}
