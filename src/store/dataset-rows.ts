import { resolve } from 'node:path';
import { type DatasetEntry, splitNamed } from '../data/dataset.js';
import { idNamed } from '../backbone/models.js';
import type { FeatureSource } from '../head/examples.js';
import type { Fingerprint } from '../image/fingerprint.js';
import { augmentedViews, checkViewSets, type ViewSet } from '../image/views.js';
import { DEFAULT_STORE } from '../util/defaults.js';
import { asCalled, LastlayerError } from '../util/errors.js';
import { storedFeatures } from './features.js';
import { type EmbeddingRow, labelsIn } from './row.js';
import { type DatasetRecord, EmbeddingStore } from './store.js';
import type { EmbeddingTable } from './table.js';

/** A data set that was embedded, and by which model. */
export interface Selection {
  /** Folder or address of the store. @default 'embeddings' */
  store?: string | undefined;
  /** @default the data set that was embedded last */
  dataset?: string | undefined;
  /** Id of the model, or a name that means one of them. Needed if several models have embedded the data set. */
  model?: string | undefined;
  /** Bytes that may be filled. @default what is free */
  memory?: number | undefined;
  /** The augmented views to have features of, out of those in the store. @default none */
  views?: readonly ViewSet[] | undefined;
  onNotice?: ((line: string) => void) | undefined;
}

/** A picture and what its data set says of it. */
export type ListedPicture = Omit<DatasetEntry, 'source' | 'problem'>;

/** A picture that has an embedding. */
export interface StoredPicture extends ListedPicture {
  /** sha256 of its bytes. */
  digest: string;
  /** Pixels, upright. */
  width: number;
  height: number;
  /** Only if fingerprints are asked for. */
  fingerprint: Fingerprint | undefined;
}

/** The pictures of a data set and their embeddings by one model. */
export interface DatasetEmbeddings {
  record: DatasetRecord;
  /** [M], in the order of the paths. */
  rows: StoredPicture[];
  /** The features of the rows. */
  source: FeatureSource;
  /** Whether the pictures have lists of labels, rather than one label each. */
  multilabel: boolean;
  /** Pictures that could not be embedded, in the order of the paths. */
  failed: (ListedPicture & { error: string })[];
  /** How many pictures were left out because they have no label. */
  unlabelled: number;
}

/**
 * Reads the rows of one data set by one model. Embeddings that would fill the memory stay in the store, and are read from it each
 * time.
 * @param use is given what was read; the store is open until it is done
 * @param include.unlabelled pictures without a label, too. @default false
 * @param include.fingerprints of 257 bytes each. @default false
 * @throws {LastlayerError} if there are none, or several models have embedded the data set and none is chosen; if some pictures
 *   have a label and others a list of labels
 */
export async function withDatasetEmbeddings<Result>(
  selection: Selection,
  use: (embeddings: DatasetEmbeddings) => Promise<Result>,
  include: { unlabelled?: boolean | undefined; fingerprints?: boolean | undefined } = {},
): Promise<Result> {
  const { memory, views = [], onNotice } = selection;
  checkViewSets(views);
  return withDataset(selection, async (table, record) => {
    if (!record.complete) {
      onNotice?.(
        asCalled(
          `${record.dataset} was not embedded to the end; using what is there. \`npm run embed\` goes on with it.`,
        ),
      );
    }
    const { rows, ...others } = await readRows(table, record.dataset, include);
    const source = await storedFeatures(table, record.dataset, rows, {
      views: augmentedViews(views),
      memory,
      onNotice,
    });
    return use({ record, rows, source, ...others });
  });
}

/**
 * Opens the table of the selected data set.
 * @param use is given it; the store is open until it is done
 * @throws {LastlayerError} as {@link chooseDataset} does, or if there is no store
 */
export async function withDataset<Result>(
  selection: Selection,
  use: (table: EmbeddingTable, record: DatasetRecord) => Promise<Result>,
): Promise<Result> {
  const store = await EmbeddingStore.open(selection.store ?? DEFAULT_STORE, { create: false });
  try {
    const named = selection.model === undefined ? undefined : await idNamed(selection.model);
    const record = chooseDataset(await store.datasets(), { ...selection, named }, store.location);
    return await use(await store.tableOf(record), record);
  } finally {
    store.close();
  }
}

/**
 * The record that a selection means.
 * @param selection.named the id that `model` stands for in the folders of models
 * @throws {LastlayerError} if there is none, or several that the selection does not choose between
 */
export function chooseDataset(
  records: readonly DatasetRecord[],
  { dataset, model, named, onNotice }: Selection & { named?: string | undefined },
  location: string,
): DatasetRecord {
  const [latest] = records;
  if (!latest) {
    throw new LastlayerError(
      `There are no embeddings in ${location}. Run \`npm run embed -- DATASET\` first.`,
      'NOT_EMBEDDED',
    );
  }
  const wanted = dataset === undefined ? latest.dataset : resolve(dataset);
  const others = [...new Set(records.map((record) => record.dataset))].filter((name) => name !== wanted);
  const ofDataset = records.filter((record) => record.dataset === wanted);
  if (ofDataset.length === 0) {
    throw new LastlayerError(
      `${wanted} is not in ${location}, which holds ${others.join(', ')}. Embed it first.`,
      'NOT_EMBEDDED',
    );
  }
  if (dataset === undefined && others.length > 0) {
    onNotice?.(
      `The store holds ${others.length + 1} data sets; taking the one embedded last, ${wanted}. ` +
        `--dataset chooses another: ${others.join(', ')}.`,
    );
  }
  const ids = ofDataset.map(({ model_id }) => model_id).join(', ');
  const alike = ofDataset.filter(
    ({ model_id }) => model === undefined || model_id === model || model_id.startsWith(`${model}@`),
  );
  const exact = alike.length === 1 ? undefined : ofDataset.find(({ model_id }) => model_id === named);
  const [record, second] = exact ? [exact] : alike;
  if (!record) {
    throw new LastlayerError(
      `${wanted} was embedded by ${ids}, not by ${model ?? ''}. Embed it with that model first.`,
      'NOT_EMBEDDED',
    );
  }
  if (second) {
    throw new LastlayerError(
      `${wanted} was embedded by several models, whose embeddings do not mix: ${ids}. Choose one: --model ${record.model_id}`,
    );
  }
  return record;
}

const COLUMNS = ['path', 'label', 'labels', 'split', 'group', 'weight', 'sha256', 'width', 'height', 'error'] as const;

async function readRows(
  table: EmbeddingTable,
  dataset: string,
  { unlabelled: includesUnlabelled = false, fingerprints = false },
): Promise<Omit<DatasetEmbeddings, 'record' | 'source'>> {
  const rows: StoredPicture[] = [];
  const failed: DatasetEmbeddings['failed'] = [];
  let [withLabel, withLists, unlabelled] = [0, 0, 0];
  const intern = interner();
  const columns = [...COLUMNS, ...(fingerprints ? (['fingerprint'] as const) : [])];
  for await (const block of table.read({ dataset }, columns)) {
    for (const row of block) {
      const { label, labels, error } = row;
      const listed = listedPicture(row, intern);
      if (error !== null) {
        failed.push({ ...listed, error });
        continue;
      }
      if (labels !== null) withLists++;
      else if (label !== null) withLabel++;
      else if (!includesUnlabelled) {
        unlabelled++;
        continue;
      }
      const { sha256, width, height, fingerprint } = row;
      rows.push({
        ...listed,
        digest: sha256!,
        width: width!,
        height: height!,
        fingerprint: fingerprint ?? undefined,
      });
    }
  }
  if (withLabel > 0 && withLists > 0) {
    throw new LastlayerError(
      `${dataset} mixes pictures of one class with pictures of any number of labels: ${withLabel} have a label and ` +
        `${withLists} have labels. Give all of them labels (a list of one is a list, too) or all of them a label, and ` +
        `embed it again.`,
    );
  }
  return { rows: rows.sort(byPath), failed: failed.sort(byPath), multilabel: withLists > 0, unlabelled };
}

function listedPicture(
  { path, label, labels, split, group, weight }: EmbeddingRow,
  intern: ReturnType<typeof interner>,
): ListedPicture {
  return {
    path,
    label: label === null ? undefined : intern.text(label),
    labels: labels === null ? undefined : intern.list(labels),
    split: split === null ? undefined : splitNamed(split),
    group: group === null ? undefined : intern.text(group),
    weight: weight ?? undefined,
  };
}

/** Keeps one copy of each text, and of each list of labels, that many rows share. */
function interner() {
  const texts = new Map<string, string>();
  const lists = new Map<string, readonly string[]>();
  return {
    text: (text: string): string => texts.get(text) ?? (texts.set(text, text), text),
    list: (json: string): readonly string[] => {
      const list = lists.get(json) ?? labelsIn(json);
      lists.set(json, list);
      return list;
    },
  };
}

function byPath(a: { path: string }, b: { path: string }): number {
  return a.path < b.path ? -1 : 1;
}
