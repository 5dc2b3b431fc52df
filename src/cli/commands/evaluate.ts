import { type Command, Option } from 'commander';
import { lazily } from '../../util/lazily.js';
import {
  deviceOption,
  headOption,
  jsonOption,
  modelOfHeadOption,
  splitOption,
  storeOption,
  threadsOption,
  unknownOption,
  VIEWS_HELP,
  viewsOption,
  wholeNumber,
} from '../options.js';

export const evaluateCommand = (command: Command): Command =>
  command
    .argument('[dataset]', 'as for embed (default: the example pictures)')
    .addOption(headOption())
    .addOption(storeOption())
    .addOption(splitOption('the split to evaluate on (default: test, else val, else everything)'))
    .addOption(new Option('--top-k <k>', 'k of the top-k accuracy (default: 5)').argParser(wholeNumber))
    .addOption(viewsOption('augmented views to average over'))
    .addOption(unknownOption('as the head was trained'))
    .addOption(modelOfHeadOption())
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Name pictures that the head was not trained on: on those that it was, the figures are far too good. train-head itself says how
good a head is on new pictures.

Embeddings that are in the store are reused. Nothing is written to it.

${VIEWS_HELP}
The logits of all views are averaged.

Exit code 3: done, but some pictures could not be read.

Examples:
  npm run evaluate -- ~/new-photos
  npm run evaluate -- --head bees.safetensors ~/photos --split test --json`,
    )
    .action(lazily(async () => (await import('../evaluate.js')).run));
