import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';

/** Pictures of each class that are taken. */
const COUNTS = { train: 20, val: 8 };

/**
 * Copies some photographs of a folder of split folders of class folders and plants faults among them: in each class one
 * picture under another label, a resized and re-encoded copy of every second class in the other split, three black frames.
 */
export async function plantFaults(from: string, folder: string) {
  const classes = (await readdir(join(from, 'train'))).sort();
  const planted: Record<'swapped' | 'copies' | 'black', string[]> = { swapped: [], copies: [], black: [] };
  for (const split of ['train', 'val'] as const) {
    for (const label of classes) await mkdir(join(folder, split, label), { recursive: true });
    for (const [c, label] of classes.entries()) {
      const files = (await readdir(join(from, split, label))).sort().slice(0, COUNTS[split]);
      for (const [i, file] of files.entries()) {
        const isSwapped = split === 'train' && i === 5;
        const to = isSwapped ? (classes[(c + 3) % classes.length] ?? label) : label;
        await copyFile(join(from, split, label, file), join(folder, split, to, file));
        if (isSwapped) planted.swapped.push(join(folder, split, to, file));
        if (split === 'train' && i === 7 && c % 2 === 0) {
          const copy = join(folder, 'val', label, `copy-${c}.jpg`);
          await mkdir(join(folder, 'val', label), { recursive: true });
          await sharp(join(from, split, label, file))
            .resize(100 + 10 * c)
            .jpeg({ quality: 60 + 3 * c })
            .toFile(copy);
          planted.copies.push(copy);
        }
      }
      if (split === 'train' && c < 3) {
        const black = join(folder, split, label, `black-${c}.jpg`);
        const create = {
          width: 200,
          height: 150 + c,
          channels: 3,
          background: { r: c, g: c, b: c },
        } as const;
        await sharp({ create }).jpeg().toFile(black);
        planted.black.push(black);
      }
    }
  }
  return { folder, swapped: planted.swapped, copies: planted.copies.sort(), black: planted.black.sort() };
}
