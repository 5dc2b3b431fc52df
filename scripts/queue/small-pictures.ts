import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import pLimit from 'p-limit';
import sharp from 'sharp';
import { Random } from '../examples/random.js';

const SIDE = 64;
const IN_FOLDER = 1000;

/** Writes so many JPEGs of random colours, no two the same, in class folders of a thousand. */
export async function writeSmallPictures(folder: string, count: number): Promise<void> {
  const limit = pLimit(32);
  for (let start = 0; start < count; start += IN_FOLDER) {
    await mkdir(join(folder, `class-${start / IN_FOLDER}`), { recursive: true });
  }
  const write = async (i: number) => {
    const random = new Random(i + 1);
    // Few pixels, enlarged: blots of colour.
    const pixels = Uint8Array.from({ length: 5 * 5 * 3 }, () => random.whole(0, 255));
    const name = join(folder, `class-${Math.floor(i / IN_FOLDER)}`, `${i}.jpg`);
    await sharp(pixels, { raw: { width: 5, height: 5, channels: 3 } })
      .resize(SIDE, SIDE)
      .toFile(name);
  };
  await Promise.all(Array.from({ length: count }, (_, i) => limit(() => write(i))));
}
