/** The process that reads mutants, from a number on, and tells of each; whoever started it ends it. */
import { LastlayerError, messageOf } from '../../src/util/errors.js';
import type { Target } from './target.js';
import { randomOf, TARGETS } from './targets.js';

/** What became of a mutant: it was read, it was refused with a reason, or neither. */
export interface Report {
  index: number;
  result: 'read' | 'refused' | 'fault';
  message: string;
  /** MiB: the most that this process has taken so far. */
  peak: number;
}

const [name = '', seed = '', start = '', end = ''] = process.argv.slice(2);
const target = await TARGETS[name]?.();
if (!target) throw new Error(`There is no target ${name}.`);
process.send?.('ready');
for (let index = Number(start); index < Number(end); index++) {
  const report = await attempt(target, index);
  await new Promise((resolve) => process.send?.(report, undefined, undefined, resolve));
}
process.disconnect();

async function attempt({ mutant, attempt }: Target, index: number): Promise<Report> {
  const report = (result: Report['result'], message: string): Report => ({
    ...{ index, result, message, peak: process.resourceUsage().maxRSS / 1024 },
  });
  try {
    await attempt(mutant(randomOf(Number(seed), name, index)));
    return report('read', '');
  } catch (error) {
    if (!(error instanceof LastlayerError)) {
      return report('fault', error instanceof Error ? (error.stack ?? error.message) : messageOf(error));
    }
    const isReason = error.message.trim().length > 3 && error.message.length < 20_000;
    return report(isReason ? 'refused' : 'fault', error.message.slice(0, 1000));
  }
}
