/**
 * Draws the example pictures in test/fixtures/examples, which `npm run embed` takes where no data set is named:
 * butterflies, fish, flowers and mushrooms of many shapes and colours, mostly where such things are found.
 * Every picture is drawn from a seed of its own.
 *
 *     npm run draw-examples [-- FOLDER]
 */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pLimit from 'p-limit';
import { butterfly } from './examples/butterfly.js';
import { fish } from './examples/fish.js';
import { flower } from './examples/flower.js';
import { mushroom } from './examples/mushroom.js';
import { Random } from './examples/random.js';
import { drawPicture, type Subject } from './examples/scene.js';

const SUBJECTS: Record<string, Subject> = { butterfly, fish, flower, mushroom };
const COUNTS = { train: 24, val: 10 };

const folder = process.argv[2] ?? fileURLToPath(new URL('../test/fixtures/examples', import.meta.url));
await rm(folder, { recursive: true, force: true });
const limit = pLimit(4);
const drawings: Promise<void>[] = [];
let seed = 0;
for (const [label, subject] of Object.entries(SUBJECTS)) {
  for (const [split, count] of Object.entries(COUNTS)) {
    await mkdir(join(folder, split, label), { recursive: true });
    for (let i = 1; i <= count; i++) {
      const random = new Random(++seed);
      const path = join(folder, split, label, `${label}-${String(i).padStart(2, '0')}.jpg`);
      drawings.push(limit(() => drawPicture(subject, random, path)));
    }
  }
}
await Promise.all(drawings);
console.log(`${drawings.length} pictures of ${Object.keys(SUBJECTS).join(', ')} in ${folder}`);
