import { resolve } from 'node:path';
import { EmbeddingStore, type DatasetRecord, type EmbeddingTable } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import type { Split } from '../images/index.js';

/** The labelled embeddings of a data set, row by row. */
export interface StoredEmbeddings {
  record: DatasetRecord;
  /** [rows × record.width], row-major */
  embeddings: Float32Array;
  labels: string[];
  splits: (Split | undefined)[];
  /** sha256 of each picture */
  contents: string[];
  /** Pictures without an embedding, which are not among the rows. */
  failed: number;
  /** Pictures without a label, which are not among the rows. */
  unlabelled: number;
}

export interface Selection {
  /** Folder or address of the store. */
  store: string;
  /** The data set; by default the one that was embedded last. */
  dataset?: string;
  /** Id of the model, or its name where that is enough. */
  model?: string;
  onNotice?: (line: string) => void;
}

/**
 * Reads the embeddings of one data set by one model from the store, in the order of the paths.
 * @throws {LastlayerError} where there are none, or those of several models and none is chosen
 */
export async function readStoredEmbeddings(selection: Selection): Promise<StoredEmbeddings> {
  const store = await EmbeddingStore.open(selection.store, { create: false });
  try {
    const record = choose(await store.datasets(), selection, store.location);
    if (!record.complete) {
      selection.onNotice?.(
        `${record.dataset} was not embedded to the end; training on what is there. \`npm run embed\` goes on with it.`,
      );
    }
    return await read(await store.tableOf(record), record);
  } finally {
    store.close();
  }
}

function choose(
  records: readonly DatasetRecord[],
  { dataset, model, onNotice }: Selection,
  location: string,
): DatasetRecord {
  const [latest] = records;
  if (!latest) {
    throw new LastlayerError(
      `There are no embeddings in ${location}. Run \`npm run embed -- DATASET\` first.`,
    );
  }
  const wanted = dataset === undefined ? latest.dataset : resolve(dataset);
  const others = [...new Set(records.map((record) => record.dataset))].filter((name) => name !== wanted);
  const ofDataset = records.filter((record) => record.dataset === wanted);
  if (ofDataset.length === 0) {
    throw new LastlayerError(
      `${wanted} is not in ${location}, which holds ${others.join(', ')}. Embed it first.`,
    );
  }
  if (dataset === undefined && others.length > 0) {
    onNotice?.(
      `The store holds ${others.length + 1} data sets; taking the one embedded last, ${wanted}. ` +
        `--dataset chooses another: ${others.join(', ')}.`,
    );
  }
  const ofModel = ofDataset.filter(
    ({ model_id }) => model === undefined || model_id === model || model_id.startsWith(`${model}@`),
  );
  const ids = ofDataset.map(({ model_id }) => model_id).join(', ');
  const [record, second] = ofModel;
  if (!record) {
    throw new LastlayerError(
      `${wanted} was embedded by ${ids}, not by ${model ?? ''}. Embed it with that model first.`,
    );
  }
  if (second) {
    throw new LastlayerError(
      `${wanted} was embedded by several models, whose embeddings do not mix: ${ids}. Choose one: --model ${record.model_id}`,
    );
  }
  return record;
}

async function read(table: EmbeddingTable, record: DatasetRecord): Promise<StoredEmbeddings> {
  const { dataset, width } = record;
  const rows: {
    path: string;
    label: string;
    split: Split | undefined;
    sha256: string;
    embedding: Float32Array;
  }[] = [];
  let unlabelled = 0;
  const columns = ['path', 'label', 'split', 'sha256', 'embedding'] as const;
  for await (const block of table.read({ dataset, failed: false }, columns)) {
    for (const { path, label, split, sha256, embedding } of block) {
      if (label === null) unlabelled++;
      else if (embedding) {
        rows.push({
          path,
          label,
          split: (split ?? undefined) as Split | undefined,
          sha256: sha256 ?? path,
          embedding,
        });
      }
    }
  }
  rows.sort((a, b) => (a.path < b.path ? -1 : 1));
  const embeddings = new Float32Array(rows.length * width);
  rows.forEach(({ embedding }, i) => {
    embeddings.set(embedding, i * width);
  });
  return {
    record,
    embeddings,
    labels: rows.map(({ label }) => label),
    splits: rows.map(({ split }) => split),
    contents: rows.map(({ sha256 }) => sha256),
    failed: await table.count({ dataset, failed: true }),
    unlabelled,
  };
}
