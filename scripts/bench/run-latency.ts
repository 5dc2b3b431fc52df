/** One picture at a time, from its bytes to its embedding, and the time from process start to the first embedding. */
import { readFile } from 'node:fs/promises';
import { loadBackbone } from '../../src/backbone/load.js';
import { embedImages } from '../../src/classify/classifier.js';
import { openDataset } from '../../src/data/open.js';

const PICTURES = 100;

const [model = '', dataset = ''] = process.argv.slice(2);
const backbone = await loadBackbone({ model });
const times: number[] = [];
let coldStart: number | undefined;
for await (const { path } of (await openDataset(dataset)).entries()) {
  const bytes = await readFile(path);
  const start = performance.now();
  await embedImages(backbone, [bytes]);
  // performance.now() counts from the start of the process.
  coldStart ??= performance.now() / 1000;
  times.push(performance.now() - start);
  if (times.length > PICTURES) break;
}
const [, ...warm] = times;
warm.sort((a, b) => a - b);
const quantile = (q: number) => warm[Math.floor(q * warm.length)] ?? NaN;
console.log(
  JSON.stringify({
    'one picture, p50, ms': quantile(0.5),
    'one picture, p95, ms': quantile(0.95),
    'start to first embedding, s': coldStart,
  }),
);
