import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { openDataset } from '../src/data/open.js';
import { decodeImage } from '../src/image/decode.js';
import { IMAGENET_TRANSFORM } from '../src/image/transform.js';
import { messageOf } from '../src/util/errors.js';
import { count, run, script } from './support/script.js';

/** Pixels; sharp refuses pictures with more than the square of this. */
const SIDE = 16_383;

export const command = script(
  'bombs',
  `Decode pictures of ${SIDE} × ${SIDE} pixels, the most that are accepted, all at once. Then walk a tree of many empty ` +
    'folders, and a very deep one. Prints the outcome of each, and how much this process grew.',
  ['', '--folders 1000 --levels 50'],
)
  .option('--folders <n>', 'empty folders in the wide tree', count, 100_000)
  .option('--levels <n>', 'levels of the deep tree', count, 400)
  .action(bombs);
await run(import.meta.url, command);

async function bombs({ folders, levels }: { folders: number; levels: number }): Promise<void> {
  await decodeAtOnce();
  await walk('empty folders', (folder) => {
    const inner = 100;
    for (let i = 0; i < folders / inner; i++) {
      for (let j = 0; j < inner; j++) mkdirSync(join(folder, 'class', String(i), String(j)), { recursive: true });
    }
  });
  await walk('levels', (folder) => {
    const before = process.cwd();
    process.chdir(folder);
    for (let level = 0; level < levels; level++) {
      mkdirSync('deep-folder');
      process.chdir('deep-folder');
    }
    process.chdir(before);
  });
}

async function decodeAtOnce(): Promise<void> {
  const blue = () => sharp({ create: { width: SIDE, height: SIDE, channels: 3, background: 'blue' } });
  const pictures = {
    PNG: await blue().png().toBuffer(),
    'interlaced PNG': await blue().png({ progressive: true }).toBuffer(),
    JPEG: await blue().jpeg().toBuffer(),
    'progressive JPEG': await blue().jpeg({ progressive: true }).toBuffer(),
    'rotated JPEG': await blue().jpeg().withMetadata({ orientation: 6 }).toBuffer(),
  };
  const before = process.memoryUsage.rss();
  let most = before;
  const timer = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 20);
  const results = Object.entries(pictures).map(async ([name, bytes]) => {
    const outcome = await decodeImage(bytes, IMAGENET_TRANSFORM).then(
      ({ width, height }) => `${width} × ${height} pixels`,
      messageOf,
    );
    console.log(`${name} of ${(bytes.length / 1e6).toFixed(1)} MB: ${outcome}`);
  });
  await Promise.all(results);
  clearInterval(timer);
  console.log(`this process grew by at most ${Math.round((most - before) / 2 ** 20)} MiB`);
}

async function walk(what: string, make: (folder: string) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'lastlayer-bombs-'));
  try {
    make(folder);
    const started = Date.now();
    const problems: string[] = [];
    for await (const { problem } of (await openDataset(folder)).entries()) problems.push(problem ?? '');
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    console.log(`${what}: ${seconds} s, ${problems.length} problems (${problems.join().slice(0, 60)})`);
  } finally {
    // The deepest paths are too long for Node to remove.
    execFileSync('rm', ['-r', folder]);
  }
}
