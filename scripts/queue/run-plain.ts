/** Embeds a data set without a queue, with one thread, and prints the seconds that it took. */
import { loadBackbone } from '../../src/backbone/load.js';
import { embedDataset } from '../../src/embed/embed.js';

const [dataset = '', store = '', model] = process.argv.slice(2);
const backbone = await loadBackbone({ threads: 1, model });
const start = performance.now();
await embedDataset(dataset, { backbone, store });
console.log(JSON.stringify({ seconds: (performance.now() - start) / 1000 }));
