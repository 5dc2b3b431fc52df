import { chooseDataset, storedFeatures, type Selection } from '../classifier/index.js';
import { EmbeddingStore, labelsIn, type DatasetRecord, type EmbeddingRow } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import type { FeatureSource } from '../head/index.js';
import { splitNamed, type Look, type Split } from '../images/index.js';

/** A picture of the data set as the store knows it. */
export interface Picture {
  path: string;
  label: string | undefined;
  /** All that it shows, where the data set has lists of labels. */
  labels: readonly string[] | undefined;
  split: Split | undefined;
  group: string | undefined;
  weight: number | undefined;
}

/** The pictures of a data set and their embeddings. M rows, in the order of the paths. */
export interface Pictures {
  record: DatasetRecord;
  rows: (Picture & {
    /** sha256 of the file */
    content: string;
    /** What it looks like, where the store has that. */
    look: Look | undefined;
    /** Pixels, upright. */
    width: number;
    height: number;
  })[];
  /** Row i of the features is of the i-th picture. */
  source: FeatureSource;
  /** Those without an embedding. */
  failed: (Picture & { error: string })[];
}

const COLUMNS = [
  'path',
  'label',
  'labels',
  'split',
  'group',
  'weight',
  'sha256',
  'width',
  'height',
  'look',
  'error',
] as const;

/**
 * Reads all pictures of a data set, with or without a label, from the store.
 * @param use is given them; the store is open until it is done
 * @throws {LastlayerError} where there are none, or those of several models and none is chosen; where some pictures have one
 *   label and others a list of labels
 */
export async function withPictures<Result>(
  selection: Selection,
  use: (pictures: Pictures) => Promise<Result>,
): Promise<Result> {
  const store = await EmbeddingStore.open(selection.store, { create: false });
  try {
    const record = chooseDataset(await store.datasets(), selection, store.location);
    const table = await store.tableOf(record);
    const [rows, failed]: [Pictures['rows'], Pictures['failed']] = [[], []];
    for await (const block of table.read({ dataset: record.dataset }, COLUMNS)) {
      for (const row of block) {
        if (row.error !== null) failed.push({ ...pictureOf(row), error: row.error });
        else {
          const { sha256, path, width, height, look } = row;
          const size = { width: width ?? 0, height: height ?? 0 };
          rows.push({ ...pictureOf(row), content: sha256 ?? path, ...size, look: look ?? undefined });
        }
      }
    }
    checkKinds([...rows, ...failed], record.dataset);
    rows.sort(byPath);
    failed.sort(byPath);
    const { memory, onNotice } = selection;
    const paths = rows.map(({ path }) => path);
    const source = await storedFeatures(table, record.dataset, paths, {
      ...(memory !== undefined && { memory }),
      ...(onNotice && { onNotice }),
    });
    return await use({ record, rows, source, failed });
  } finally {
    store.close();
  }
}

function checkKinds(pictures: readonly Picture[], dataset: string): void {
  const [one, lists] = [
    pictures.filter(({ label }) => label !== undefined),
    pictures.filter(({ labels }) => labels),
  ];
  if (one.length === 0 || lists.length === 0) return;
  throw new LastlayerError(
    `${dataset} mixes pictures of one class with pictures of any number of labels: ${one.length} have a label and ` +
      `${lists.length} have labels. Give all of them labels (a list of one is a list, too) or all of them a label, and embed ` +
      `it again.`,
  );
}

function pictureOf({ path, label, labels, split, group, weight }: EmbeddingRow): Picture {
  return {
    path,
    label: label ?? undefined,
    labels: labels === null ? undefined : labelsIn(labels),
    split: split === null ? undefined : splitNamed(split),
    group: group ?? undefined,
    weight: weight ?? undefined,
  };
}

function byPath(a: { path: string }, b: { path: string }): number {
  return a.path < b.path ? -1 : 1;
}
