/** From files on disk to stored embeddings. Start-up and loading the model are not counted, for the peers neither. */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { BackbonePool } from '../../src/backbone/pool.js';
import { embedDataset } from '../../src/embed/embed.js';
import { RATE } from './setting.js';

const [model = '', dataset = '', folder = ''] = process.argv.slice(2);
const backbone = await loadBackbone({ model });
const pool = new BackbonePool(backbone);
await pool.warmUp();

const store = await mkdtemp(join(folder, 'store-'));
const timed = async () => {
  const start = performance.now();
  const summary = await embedDataset(dataset, { backbone, pool, store });
  return { ...summary, seconds: (performance.now() - start) / 1000 };
};
const first = await timed();
const peak = process.resourceUsage().maxRSS / 1024;
const again = await timed();
if (again.unchanged + again.failed !== first.total)
  throw new Error('Some pictures were embedded again, though nothing had changed.');
await pool.close();
await rm(store, { recursive: true });
console.log(
  JSON.stringify({
    [RATE]: first.total / first.seconds,
    'peak memory, MiB': peak,
    'embedding again, nothing changed, s': again.seconds,
  }),
);
