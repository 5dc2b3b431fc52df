import { stat } from 'node:fs/promises';
import type { Split } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import { sampleEntries } from '../data/sample.js';
import { EmbeddingStore } from '../store/store.js';
import { datasetOrExamples } from './embed.js';
import { say } from './terminal.js';

/** Validation pictures first: the head has not seen them. */
const PREFERENCE: (Split | undefined)[][] = [['val'], ['test'], [undefined, 'train']];

/**
 * Some pictures of a data set to check a network on, the same ones each time: of the given one, else the one that this backbone
 * embedded last, else the examples.
 */
export async function picturesToCheckOn(
  { check, store, pictures: limit }: { check?: string | undefined; store: string; pictures: number },
  modelId: string,
  signal: AbortSignal,
): Promise<{ dataset: string; paths: string[] }> {
  const named = check ?? (await latestDataset(store, modelId));
  const path = datasetOrExamples(named, 'npm run export -- --check FOLDER');
  const dataset = await openDataset(path);
  for (const splits of PREFERENCE) {
    const { entries } = await sampleEntries(dataset, { splits, limit, signal });
    const files = entries.filter(({ source }) => source === undefined);
    if (files.length > 0) return { dataset: dataset.root, paths: files.map(({ path: file }) => file) };
  }
  return { dataset: dataset.root, paths: [] };
}

async function latestDataset(location: string, modelId: string): Promise<string | undefined> {
  if (!(await EmbeddingStore.exists(location))) return undefined;
  const store = await EmbeddingStore.open(location, { create: false });
  try {
    const record = (await store.datasets()).find(({ model_id }) => model_id === modelId);
    if (!record || (await stat(record.dataset).catch(() => undefined))) return record?.dataset;
    say(`${record.dataset}, which was embedded last, is no longer there.`);
    return undefined;
  } finally {
    store.close();
  }
}
