import type { Backbone } from '../backbone/backbone.js';
import { loadBackbone } from '../backbone/load.js';
import { modelFolders } from '../backbone/models.js';
import { existingInt8, requireFloat32 } from '../backbone/quantize/quantize.js';
import { LastlayerError } from '../util/errors.js';
import { quantity } from '../util/format.js';
import type { ModelFlags } from './options.js';
import { interruptible, Progress } from './progress.js';
import { notice, printJson, say } from './terminal.js';

interface WorkerFlags extends ModelFlags {
  queue: string;
  precision?: 'fp32' | 'int8' | undefined;
  batchSize?: number | undefined;
  concurrency?: number | undefined;
  stalledAfter: number;
  json?: true | undefined;
}

export async function run({ queue, batchSize, concurrency, stalledAfter, ...flags }: WorkerFlags): Promise<void> {
  const backbone = await backboneFor(flags);
  const done = { embedded: 0, reused: 0, unchanged: 0, failed: 0 };
  const progress = new Progress('worker', 'pictures');
  // Loading BullMQ takes time, so it is loaded only once the backbone is there.
  const { work } = await import('../embed/queue/worker.js');
  const working = (signal: AbortSignal) =>
    work({
      queue,
      backbone,
      signal,
      onNotice: notice,
      stalledAfter: stalledAfter * 1000,
      batchSize,
      concurrency,
      onOutcomes: (outcomes) => {
        for (const outcome of ['embedded', 'reused', 'unchanged', 'failed'] as const)
          done[outcome] += outcomes[outcome];
        progress.update(done.embedded + done.reused + done.unchanged + done.failed, undefined, done.embedded);
      },
    });
  await interruptible(working, {
    displays: [progress],
    notice: 'Stopping after the jobs in progress. Press Ctrl-C again to stop at once.',
  });
  if (flags.json) printJson({ modelId: backbone.id, ...done });
  else {
    const { embedded, reused, unchanged, failed } = done;
    say(
      `Stopped. ${quantity(embedded, 'picture')} embedded, ${unchanged + reused} known already, ${failed} unreadable.`,
    );
  }
}

/** @throws {LastlayerError} if int8 is asked for and embed has not made it yet */
async function backboneFor(flags: Omit<WorkerFlags, 'queue' | 'stalledAfter'>): Promise<Backbone> {
  const { precision } = flags;
  const loaded = await loadBackbone({ ...flags, onNotice: notice });
  if (precision === 'fp32') requireFloat32(loaded);
  if (precision !== 'int8' || loaded.quantized) return loaded;
  const int8 = await existingInt8(loaded, { session: flags });
  if (int8) return int8;
  throw new LastlayerError(
    `There is no int8 model of ${loaded.id} in ${modelFolders().join(', ')}. \`npm run embed -- DATASET --precision int8\` makes ` +
      'one, and `npm run models` there says which file it is. All workers need the same: bring it here with `npm run fetch-model -- ' +
      '--from FILE`.',
  );
}
