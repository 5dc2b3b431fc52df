import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Argument } from 'commander';
import pLimit from 'p-limit';
import { butterfly } from './examples/butterfly.js';
import { fish } from './examples/fish.js';
import { flower } from './examples/flower.js';
import { mushroom } from './examples/mushroom.js';
import { drawPicture, type Subject } from './examples/scene.js';
import { Random } from './support/random.js';
import { EXAMPLES, run, script } from './support/script.js';

const SUBJECTS: Record<string, Subject> = { butterfly, fish, flower, mushroom };
const COUNTS = { train: 24, val: 10 };

export const command = script(
  'draw-examples',
  'Draw the example pictures, which `npm run embed` uses if no data set is given: butterflies, fish, flowers and mushrooms ' +
    'of many shapes and colours, mostly in their habitats. Every picture has a seed of its own. The folder’s train and val are replaced.',
  ['', '/tmp/examples'],
)
  .addArgument(new Argument('[folder]', 'where to draw them').default(EXAMPLES, 'test/fixtures/examples'))
  .action(drawExamples);
await run(import.meta.url, command);

async function drawExamples(folder: string): Promise<void> {
  for (const split of Object.keys(COUNTS)) await rm(join(folder, split), { recursive: true, force: true });
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
}
