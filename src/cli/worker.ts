import { type Command, Option } from 'commander';
import type { Backbone } from '../backbone/backbone.js';
import { loadBackbone } from '../backbone/load.js';
import { modelFolders } from '../backbone/models.js';
import { existingInt8 } from '../backbone/quantize/quantize.js';
import { LastlayerError } from '../util/errors.js';
import { quantity } from '../util/format.js';
import {
  batchSizeOption,
  concurrencyOption,
  deviceOption,
  jsonOption,
  type ModelFlags,
  modelOption,
  precisionOption,
  requireFloat32,
  threadsOption,
  wholeNumber,
} from './options.js';
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

export const workerCommand = (command: Command): Command =>
  command
    .addOption(new Option('--queue <url>', 'the Redis of the queue').makeOptionMandatory())
    .addOption(modelOption())
    .addOption(precisionOption())
    .addOption(batchSizeOption())
    .addOption(concurrencyOption())
    .addOption(
      new Option(
        '--stalled-after <seconds>',
        'hand a job to another worker once its own has given no sign of life for this long',
      )
        .argParser(wholeNumber)
        .default(30),
    )
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Start one worker on each machine, with the same model as embed, and with the data set and the store under the same paths or
addresses. It does the jobs of every data set that is being embedded with its model, and waits for more. Jobs of other models are
left to other workers.

If a worker is lost, another one does its jobs. A job that crashes two workers is split in halves, again and again, until the picture
that does it is found. That picture gets an error in the store, like one that cannot be read.

Ctrl-C or SIGTERM stops the worker after the jobs in progress, a second one at once. Exit code 0.

Examples:
  npm run worker -- --queue redis://10.0.0.5:6379
  npm run worker -- --queue rediss://user:password@queue.example.org:6380 --precision int8
  npm run worker -- --queue redis://10.0.0.5:6379 --model resnet34.onnx --threads 4`,
    )
    .action(run);

async function run({ queue, batchSize, concurrency, stalledAfter, ...flags }: WorkerFlags): Promise<void> {
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
