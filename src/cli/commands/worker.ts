import { type Command, Option } from 'commander';
import { lazily } from '../../util/lazily.js';
import {
  batchSizeOption,
  concurrencyOption,
  deviceOption,
  jsonOption,
  modelOption,
  precisionOption,
  threadsOption,
  wholeNumber,
} from '../options.js';

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
    .action(lazily(async () => (await import('../worker.js')).run));
