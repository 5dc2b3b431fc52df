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

const predicted = Object.keys(first.result.labels).some((label) => label !== '') ? await predict() : {};
await pool.close();
await rm(store, { recursive: true });
console.log(
  JSON.stringify({
    [RATE]: total / first.seconds,
    'peak memory, MiB': peak,
    'embedding again, nothing changed, s': again.seconds,
    ...predicted,
  }),
);

/** How fast pictures are predicted, with a head that is trained on them. */
async function predict(): Promise<Record<string, number>> {
  const classifier = new Classifier(backbone, (await trainFromStore({ store })).head);
  const { result, seconds, processor } = await timed(async () => {
    let count = 0;
    for await (const { image } of classifier.predictAll(dataset, { pool })) if (image) count++;
    return count;
  });
  if (result !== total) throw new Error(`predictAll found ${result} pictures of ${total}.`);
  return {
    'rate of predictAll, relative to embedding': first.seconds / seconds,
    'processor time of predictAll, relative to embedding': processor / first.processor,
  };
}
