import { type Command, Option } from 'commander';
import { lazily } from '../../util/lazily.js';
import { deviceOption, jsonOption, splitOption, storeOption, threadsOption, wholeNumber } from '../options.js';

export const compareCommand = (command: Command): Command =>
  command
    .argument('<a>', 'file of a head, such as the earlier one')
    .argument('<b>', 'file of the head to compare it with')
    .argument('[dataset]', 'as for embed (default: the one in the store that was embedded last for the heads)')
    .addOption(storeOption())
    .addOption(splitOption('the split to compare on (default: val, else test, else everything)'))
    .addOption(
      new Option('--show <n>', 'changed pictures of each kind to list; --json has all')
        .argParser(wholeNumber)
        .default(10),
    )
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Tells whether B is better than A: did other labels, other features or more pictures help? Both heads classify the same pictures,
by the labels that the data set gives them now. Pictures that either head was trained on are left out, even where they lie in
another folder or split, and so are those of classes that only one of them knows. The heads may be of different backbones.

McNemar's exact test looks at the pictures that just one of the two gets right. The 95 % intervals of the differences are by a
paired bootstrap, the same each time.

Heads that were trained on all pictures leave none to compare on. Train them with --hold-out 0.2, which holds out the same
pictures each time, or name other pictures.

Embeddings that are in the store are reused. Nothing is written to it.

Exit code 3: done, but some pictures could not be read.

Examples:
  npm run compare -- before.safetensors after.safetensors
  npm run compare -- before.safetensors after.safetensors ~/photos --split test
  npm run compare -- resnet18.safetensors resnet50.safetensors new-photos --json`,
    )
    .action(lazily(async () => (await import('../compare.js')).run));
