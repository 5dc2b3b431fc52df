import { type Command, Option } from 'commander';
import { lazily } from '../../util/lazily.js';
import {
  batchSizeOption,
  concurrencyOption,
  deviceOption,
  jsonOption,
  modelOption,
  precisionOption,
  splitOption,
  storeOption,
  threadsOption,
  VIEWS_HELP,
  viewsOption,
} from '../options.js';

export const embedCommand = (command: Command): Command =>
  command
    .argument(
      '[dataset]',
      'folder of class folders, of train|val|test folders, or of pictures; .csv or .jsonl manifest; .tar, .parquet, .lance',
    )
    .addOption(storeOption())
    .addOption(modelOption())
    .addOption(batchSizeOption())
    .addOption(concurrencyOption())
    .addOption(splitOption('embed only this split; name the split of a data set that has none'))
    .addOption(precisionOption())
    .addOption(new Option('--queue <url>', 'Redis through which workers (npm run worker) are to do the work'))
    .addOption(viewsOption('augmented views of training pictures to embed'))
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Pictures that are embedded already are not embedded again, and files that have not changed are not even read.

With --precision int8, the backbone's int8 model is used. If there is none, it is made, from pictures of the data set.

${VIEWS_HELP}
They are embedded for the pictures of the training split or of no split, and train-head trains on all of them. If some are embedded
already, the missing ones are added. Without --views, they stay as they are.

With --queue, the pictures are embedded by \`npm run worker\`, on any number of machines that have the data set and the store under
the same paths or addresses. This command lists the data set and shows the progress. After Ctrl-C, the workers go on with what is in
the queue; another run goes on from there. See docs/scale.md.

Exit code 3: done, but some pictures could not be read. They are listed at the end.

Examples:
  npm run embed                                   the example pictures that come with a clone
  npm run embed -- ~/photos                       ~/photos/cat/1.jpg, ~/photos/dog/1.jpg, …
  npm run embed -- photos.csv --store embeddings  a manifest with the columns path, label, split
  npm run embed -- ~/photos --precision int8      with int8 arithmetic
  npm run embed -- ~/photos --store s3://bucket/photos
  npm run embed -- /mnt/photos --store /mnt/embeddings --queue redis://10.0.0.5:6379
  npm run embed -- ~/photos --views flip          with mirror images of the training pictures
  npm run embed -- ~/photos --model resnet34.pth --json`,
    )
    .action(lazily(async () => (await import('../embed.js')).run));
