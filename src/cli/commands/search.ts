import { type Command, Option } from 'commander';
import { lazily } from '../../util/lazily.js';
import {
  datasetOption,
  deviceOption,
  jsonOption,
  modelOption,
  storeOption,
  threadsOption,
  wholeNumber,
} from '../options.js';

export const searchCommand = (command: Command): Command =>
  command
    .argument('<image>', 'a picture file')
    .addOption(storeOption())
    .addOption(datasetOption())
    .addOption(new Option('--top-k <k>', 'how many pictures to find').argParser(wholeNumber).default(10))
    .option('--exact', 'compare every picture, without the index of a large store', false)
    .addOption(modelOption('the one that embedded the data set'))
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
The first search in a store of 50,000 pictures or more builds an index. Pictures that are added later are found as well.

Examples:
  npm run search -- new.jpg
  npm run search -- new.jpg --store embeddings --top-k 5 --json`,
    )
    .action(lazily(async () => (await import('../search.js')).run));
