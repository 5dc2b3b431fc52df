import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

/** The project's root. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Data that may lie beside the project; see `describeWith`. */
export const SHARED = join(ROOT, '..', 'shared');

/** Runs a group of tests where a folder of SHARED is there, and shows them as skipped where it is not. */
export function describeWith(folder: string, name: string, tests: (folder: string) => void): void {
  const path = join(SHARED, folder);
  const isThere = existsSync(path);
  (isThere ? describe : describe.skip)(`${name} (${folder})`, () => {
    // What is in the tests' own bodies may read the folder.
    if (isThere) tests(path);
    else it('needs that folder', () => undefined);
  });
}

/** A folder that is removed when the test file is done. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-test-'));
  afterAll(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * A picture of stripes under noise, as a PNG: `angle` in degrees tells classes apart, `seed` pictures.
 * Every seed gives other bytes.
 */
export async function stripes(angle: number, seed: number, width = 80, height = 64): Promise<Buffer> {
  const [dx, dy] = [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];
  let state = seed * 2654435761 + 1;
  const noise = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  const phase = noise() * 6;
  const period = 6 + 6 * noise();
  const tint = [noise(), noise(), noise()];
  const pixels = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const wave = Math.sin(phase + (2 * Math.PI * (x * dx + y * dy)) / period);
      for (let c = 0; c < 3; c++) {
        pixels[3 * (y * width + x) + c] = 128 + 60 * wave + 40 * (tint[c] ?? 0) + 20 * noise();
      }
    }
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

/** Writes a data set of stripes: for each split and class so many pictures, `0.png`, `1.png`, … */
export async function stripedDataset(root: string, counts: Record<string, Record<string, number>>): Promise<string[]> {
  const angles: Record<string, number> = { flat: 90, steep: 0, slanted: 45 };
  const paths: string[] = [];
  let seed = 0;
  for (const [split, classes] of Object.entries(counts)) {
    for (const [label, count] of Object.entries(classes)) {
      for (let i = 0; i < count; i++) {
        const path = join(root, split, label, `${i}.png`);
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, await stripes(angles[label] ?? 0, ++seed));
        paths.push(path);
      }
    }
  }
  return paths;
}
