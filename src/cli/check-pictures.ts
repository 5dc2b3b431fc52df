import { stat } from 'node:fs/promises';
import type { Split } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import { sampleEntries } from '../data/sample.js';
import { EmbeddingStore } from '../store/store.js';
import { datasetOrExamples } from './embed.js';
import { say } from './terminal.js';

/** Validation pictures first: the head was not trained on them. */
const PREFERENCE: (Split | undefined)[][] = [['val'], ['test'], [undefined, 'train']];

/**
 * A sample of pictures to check an export on, the same ones each time: from the given data set, else the one that this backbone
 * embedded last, else the examples.
 */
export async function picturesToCheckOn(
  { check, store, pictures: limit }: { check?: string | undefined; store: string; pictures: number },
  modelId: string,
  signal: AbortSignal,
): Promise<{ dataset: string; paths: string[] }> {
  const named = check ?? (await latestDataset(store, modelId));
  const dataset = await openDataset(datasetOrExamples(named, 'npm run export -- --check FOLDER'));
  for (const splits of PREFERENCE) {
    const { entries } = await sampleEntries(dataset, { splits, limit, signal });
    const files = entries.filter(({ source }) => source === undefined);
    if (files.length > 0) return { dataset: dataset.root, paths: files.map(({ path }) => path) };
  }
  return { dataset: dataset.root, paths: [] };
}

async function latestDataset(location: string, modelId: string): Promise<string | undefined> {
  if (!(await EmbeddingStore.exists(location))) return undefined;
  const store = await EmbeddingStore.open(location, { create: false });
  try {
    const record = (await store.datasets()).find(({ model_id }) => model_id === modelId);
    if (!record || (await stat(record.dataset).catch(() => undefined))) return record?.dataset;
    say(`${record.dataset}, which was embedded last, no longer exists.`);
    return undefined;
  } finally {
    store.close();
  }
}
