import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Argument } from 'commander';
import sharp from 'sharp';
import { EXAMPLES, requireProgram, ROOT, run, script } from './support/script.js';
import { runProcess } from './support/run-process.js';

const PICTURE = join(EXAMPLES, 'train', 'butterfly', 'butterfly-01.jpg');
const SIDE = 64;

export const command = script(
  'draw-heic',
  'Draw the HEIC files that the tests read and put together: two tiles of an example picture, side by side, one of them in 10 bits ' +
    'too, and beside each the pixels that libheif’s own program decodes. Needs heif-enc and heif-convert (Debian: libheif-examples).',
  ['', '/tmp/heic'],
)
  .addArgument(
    new Argument('[folder]', 'where to write them').default(
      join(ROOT, 'test', 'fixtures', 'heic'),
      'test/fixtures/heic',
    ),
  )
  .action(drawHeic);
await run(import.meta.url, command);

async function drawHeic(folder: string): Promise<void> {
  requireProgram('heif-enc', 'Install libheif-examples.');
  await mkdir(folder, { recursive: true });
  const temporary = await mkdtemp(join(tmpdir(), 'lastlayer-heic-'));
  const tiles = {
    left: { left: 80, deep: false },
    right: { left: 80 + SIDE, deep: false },
    deep: { left: 80, deep: true },
  };
  try {
    for (const [name, { left, deep }] of Object.entries(tiles)) {
      const png = join(temporary, `${name}.png`);
      const tile = sharp(PICTURE).extract({ left, top: 80, width: SIDE, height: SIDE });
      // heif-enc makes 10 bits of 16.
      await (deep ? tile.toColourspace('rgb16') : tile).png().toFile(png);
      const heic = join(folder, `${name}.heic`);
      await runProcess('heif-enc', ['-q', '50', png, '-o', heic]);
      await runProcess('heif-convert', [heic, join(temporary, 'decoded.png')]);
      await sharp(join(temporary, 'decoded.png'))
        .toColourspace('srgb')
        .png()
        .toFile(join(folder, `${name}.png`));
    }
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}
