/** What a picture costs the processor and a thread the memory, while a data set is embedded. Start-up is not counted. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { loadBackbone } from '../../src/backbone/load.js';
import { BackbonePool } from '../../src/backbone/pool.js';
import { embedDataset } from '../../src/embed/embed.js';

const [model = '', dataset = '', folder = '', threads = ''] = process.argv.slice(2);
const backbone = await loadBackbone({ model, threads: Number(threads) });
const pool = new BackbonePool(backbone);
await pool.warmUp();
const store = await mkdtemp(join(folder, 'store-'));
const [start, all, main] = [performance.now(), process.cpuUsage(), timeOfMainThread()];
const { total } = await embedDataset(dataset, { backbone, pool, store });
const { user, system } = process.cpuUsage(all);
const spent = timeOfMainThread() - main;
const seconds = (performance.now() - start) / 1000;
const memory = proportionalMemory();
await pool.close();
await rm(store, { recursive: true });
console.log(
  JSON.stringify({
    rate: total / seconds,
    processor: (user + system) / 1000 / total,
    main: spent / total,
    memory,
  }),
);

/** Processor time of the thread that runs JavaScript, in ms (proc(5), fields 14 and 15 of stat, in ticks of 10 ms). */
function timeOfMainThread(): number {
  const fields = readFileSync(`/proc/self/task/${process.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

/** MiB, with pages that are mapped several times counted once. */
function proportionalMemory(): number {
  return Number(/^Pss: +(\d+)/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))?.[1]) / 1024;
}
