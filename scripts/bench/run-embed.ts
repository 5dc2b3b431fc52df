/**
 * From files on disk to stored embeddings, and to predictions. Start-up, loading the model and training the head are not counted, for the
 * peers neither.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { BackbonePool } from '../../src/backbone/pool.js';
import { Classifier } from '../../src/classify/classifier.js';
import { trainFromStore } from '../../src/classify/train.js';
import { embedDataset } from '../../src/embed/embed.js';
import { RATE } from './setting.js';

const [model = '', dataset = '', folder = ''] = process.argv.slice(2);
const backbone = await loadBackbone({ model });
const pool = new BackbonePool(backbone);
await pool.warmUp();

const store = await mkdtemp(join(folder, 'store-'));
const timed = async <T>(work: () => Promise<T>) => {
  const [start, processor] = [performance.now(), process.cpuUsage()];
  const result = await work();
  const { user, system } = process.cpuUsage(processor);
  return { result, seconds: (performance.now() - start) / 1000, processor: (user + system) / 1e6 };
};
const embedding = () => timed(() => embedDataset(dataset, { backbone, pool, store }));
const first = await embedding();
const { total } = first.result;
const peak = process.resourceUsage().maxRSS / 1024;
const again = await embedding();
if (again.result.unchanged + again.result.failed !== total)
  throw new Error('Some pictures were embedded again, though nothing had changed.');

const classifier = new Classifier(backbone, (await trainFromStore({ store })).head);
const predicting = await timed(async () => {
  const paths: string[] = [];
  for await (const { path } of classifier.predictAll(dataset, { pool })) paths.push(path);
  return paths.length;
});
if (predicting.result !== total) throw new Error(`predictAll found ${predicting.result} pictures of ${total}.`);
await pool.close();
await rm(store, { recursive: true });
console.log(
  JSON.stringify({
    [RATE]: total / first.seconds,
    'peak memory, MiB': peak,
    'embedding again, nothing changed, s': again.seconds,
    'rate of predictAll, relative to embedding': first.seconds / predicting.seconds,
    'processor time of predictAll, relative to embedding': predicting.processor / first.processor,
  }),
);
