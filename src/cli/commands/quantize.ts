import type { Command } from 'commander';
import { lazily } from '../../util/lazily.js';
import {
  forceOption,
  jsonOption,
  modelOption,
  modelOutOption,
  nameOption,
  threadsOption,
  wholeNumber,
} from '../options.js';

export const quantizeCommand = (command: Command): Command =>
  command
    .addOption(modelOption())
    .option(
      '--calibrate <dataset>',
      'pictures to measure the range of the activations on (default: the example pictures)',
    )
    .option('--pictures <n>', 'the most pictures to calibrate on', wholeNumber, 128)
    .addOption(nameOption("the float32 model's with .int8, such as resnet18.int8"))
    .addOption(modelOutOption())
    .addOption(forceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Writes an int8 model and compares it with the float32 one. Calibrate on pictures like those that you will embed. At most half of the
training pictures are used, and the comparison is on others.

The int8 model has an id of its own, so its embeddings never mix with the float32 ones. An earlier int8 model stays, as heads may
need it.

Examples:
  npm run quantize -- --calibrate ~/photos
  npm run quantize -- --model resnet34 --calibrate ~/photos --json
  npm run embed -- ~/photos --precision int8`,
    )
    .action(lazily(async () => (await import('../quantize.js')).run));
