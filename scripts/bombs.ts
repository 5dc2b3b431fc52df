/**
 * Decodes pictures of as many pixels as are taken at all, all at once, and goes through a tree of many empty folders and a very
 * deep one; tells what became of each, and how much this process grew.
 *
 *     npm run bombs -- [--folders 100000] [--levels 400]
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { openDataset } from '../src/data/open.js';
import { decodeImage } from '../src/image/decode.js';
import { IMAGENET_TRANSFORM } from '../src/image/transform.js';
import { messageOf } from '../src/util/errors.js';

/** sharp's limit is of so many pixels, squared. */
const SIDE = 16_383;

const { values } = parseArgs({
  options: {
    folders: { type: 'string', default: '100000' },
    levels: { type: 'string', default: '400' },
  },
});
await decodeAtOnce();
await walk('empty folders', (folder) => {
  const [outer, inner] = [Math.ceil(Number(values.folders) / 100), 100];
  for (let i = 0; i < outer; i++) {
    for (let j = 0; j < inner; j++)
      mkdirSync(join(folder, 'class', String(i), String(j)), { recursive: true });
  }
});
await walk('levels', (folder) => {
  const before = process.cwd();
  process.chdir(folder);
  for (let level = 0; level < Number(values.levels); level++) {
    mkdirSync('deep-folder');
    process.chdir('deep-folder');
  }
  process.chdir(before);
});

async function decodeAtOnce(): Promise<void> {
  const blue = () => sharp({ create: { width: SIDE, height: SIDE, channels: 3, background: 'blue' } });
  const bombs = {
    PNG: await blue().png().toBuffer(),
    'interlaced PNG': await blue().png({ progressive: true }).toBuffer(),
    JPEG: await blue().jpeg().toBuffer(),
    'progressive JPEG': await blue().jpeg({ progressive: true }).toBuffer(),
    'turned JPEG': await blue().jpeg().withMetadata({ orientation: 6 }).toBuffer(),
  };
  const before = process.memoryUsage.rss();
  let most = before;
  const timer = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 20);
  const results = Object.entries(bombs).map(async ([name, bytes]) => {
    const outcome = await decodeImage(bytes, IMAGENET_TRANSFORM).then(
      ({ width, height }) => `${width} × ${height} pixels`,
      messageOf,
    );
    tell(`${name} of ${(bytes.length / 1e6).toFixed(1)} MB: ${outcome}`);
  });
  await Promise.all(results);
  clearInterval(timer);
  tell(`this process grew by at most ${Math.round((most - before) / 2 ** 20)} MiB`);
}

async function walk(what: string, make: (folder: string) => void): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'lastlayer-bombs-'));
  try {
    make(folder);
    const started = Date.now();
    const problems: string[] = [];
    for await (const { problem } of (await openDataset(folder)).entries()) problems.push(problem ?? '');
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    tell(`${what}: ${seconds} s, ${problems.length} problems (${problems.join().slice(0, 60)})`);
  } finally {
    // Node cannot remove what no path can name.
    execFileSync('rm', ['-r', folder]);
  }
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`);
}
