/** The process that reads mutants and reports each one to its parent. */
import { LastlayerError, messageOf } from '../../src/util/errors.js';
import type { Target } from './target.js';
import { randomOf, TARGETS } from './targets.js';

/** The outcome of a mutant: it was read, refused with a reason, or neither. */
export interface Report {
  index: number;
  result: 'read' | 'refused' | 'fault';
  message: string;
  /** Peak memory of this process so far, in MiB. */
  peak: number;
}

const [name = '', seed = '', start = '', end = ''] = process.argv.slice(2);
const target = await TARGETS[name]?.();
if (!target) throw new Error(`Unknown target ${name}.`);
process.send?.('ready');
for (let index = Number(start); index < Number(end); index++) {
  const report = await attempt(target, index);
  await new Promise((resolve) => process.send?.(report, undefined, undefined, resolve));
}
process.disconnect();

async function attempt({ mutant, attempt }: Target, index: number): Promise<Report> {
  const report = (result: Report['result'], message: string): Report => {
    return { index, result, message, peak: process.resourceUsage().maxRSS / 1024 };
  };
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
