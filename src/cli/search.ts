import { searchSimilar } from '../classify/search.js';
import { DEFAULT_STORE } from '../util/defaults.js';
import { call, option, sayNext } from './next.js';
import type { ModelFlags } from './options.js';
import { notice, onOneLine, print, printJson, table } from './terminal.js';

interface SearchFlags extends ModelFlags {
  store: string;
  dataset?: string | undefined;
  topK: number;
  exact: boolean;
  json?: true | undefined;
}

export async function run(image: string, { json, ...flags }: SearchFlags): Promise<void> {
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
