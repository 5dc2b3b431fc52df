/** The rates of decoding alone and of the backbone alone, and the rate that both allow together on the same cores. */
import { readFile } from 'node:fs/promises';
import pLimit from 'p-limit';
import { loadBackbone } from '../../src/backbone/load.js';
import { BackbonePool } from '../../src/backbone/pool.js';
import { openDataset } from '../../src/data/open.js';
import { decodeImage } from '../../src/image/decode.js';
import { ALLOWED } from './setting.js';

const BATCH = 8;
const BATCHES = 32;
const CONCURRENCY = 32;

const [model = '', dataset = ''] = process.argv.slice(2);
const backbone = await loadBackbone({ model });

const limit = pLimit(CONCURRENCY);
const decodings: Promise<boolean>[] = [];
const start = performance.now();
for await (const { path } of (await openDataset(dataset)).entries()) {
  const decode = async () => decodeImage(await readFile(path), backbone.transform);
  decodings.push(
    limit(decode).then(
      () => true,
      () => false,
    ),
  );
}
const decoded = (await Promise.all(decodings)).filter(Boolean).length;
const decoder = decoded / ((performance.now() - start) / 1000);

const pool = new BackbonePool(backbone);
const runAll = (batches: number) => {
  const pictures = () => new Uint8Array(BATCH * 3 * backbone.transform.crop ** 2).fill(100);
  return Promise.all(Array.from({ length: batches }, () => pool.run(pictures())));
};
await pool.warmUp();
const started = performance.now();
await runAll(BATCHES);
const backboneRate = (BATCH * BATCHES) / ((performance.now() - started) / 1000);
await pool.close();

console.log(
  JSON.stringify({
    'decoding alone, images/s': decoder,
    'backbone alone, images/s': backboneRate,
    // Both keep all cores busy, so the times of a picture add up.
    [ALLOWED]: 1 / (1 / decoder + 1 / backboneRate),
  }),
);
