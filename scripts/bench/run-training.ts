/** What train-head does, with the sources of a checkout, on a store. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [checkout = '', store = ''] = process.argv.slice(2);
const { trainFromStore } = (await import(
  pathToFileURL(join(checkout, 'src', 'classify', 'train.ts')).href
)) as typeof import('../../src/classify/train.js');
const start = performance.now();
const before = process.cpuUsage();
const { head, crossValidation } = await trainFromStore({ store });
const { user, system } = process.cpuUsage(before);
console.log(
  JSON.stringify({
    seconds: (performance.now() - start) / 1000,
    processorSeconds: (user + system) / 1e6,
    l2: head.l2,
    tried: [...(crossValidation?.path.map(({ l2 }) => l2) ?? []), ...(crossValidation?.givenUp ?? [])],
    outOfFoldLogLoss: crossValidation?.uncalibrated.logLoss,
    objective: head.training.loss,
    peakMiB: process.resourceUsage().maxRSS / 1024,
  }),
);
