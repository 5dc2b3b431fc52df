import { type Command, Option } from 'commander';
import { searchSimilar } from '../classify/search.js';
import { DEFAULT_STORE } from '../store/store.js';
import { call, option, sayNext } from './next.js';
import {
  datasetOption,
  deviceOption,
  jsonOption,
  type ModelFlags,
  modelOption,
  storeOption,
  threadsOption,
  wholeNumber,
} from './options.js';
import { notice, onOneLine, print, printJson, table } from './terminal.js';

interface SearchFlags extends ModelFlags {
  store: string;
  dataset?: string | undefined;
  topK: number;
  exact: boolean;
  json?: true | undefined;
}

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
    .action(run);

async function run(image: string, { json, ...flags }: SearchFlags): Promise<void> {
  const similar = await searchSimilar(image, {
    ...flags,
    onNotice: notice,
    onIndex: (rows) => {
      notice(`Indexing ${rows} pictures, once for all searches. --exact does without an index.`);
    },
  });
  if (json) printJson({ image, similar });
  else {
    const rows = similar.map(({ path, label, split, similarity }) => [
      onOneLine(path),
      label ?? '',
      split ?? '',
      similarity.toFixed(3),
    ]);
    print(table([['picture', 'label', 'split', 'cosine'], ...rows]));
    const { store, dataset, model } = flags;
    const data = [
      ...option('--store', store, DEFAULT_STORE),
      ...option('--dataset', dataset),
      ...option('--model', model),
    ];
    sayNext(`${call('check-data', ...data)} finds duplicates and wrong labels.`);
  }
}
