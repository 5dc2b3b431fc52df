import { type Split, splitNamed } from '../data/dataset.js';
import type { FeatureSource } from '../head/examples.js';
import { chromaOf, spreadOf, type Fingerprint } from '../image/fingerprint.js';
import { chooseDataset, type Selection } from '../store/dataset-rows.js';
import { storedFeatures } from '../store/features.js';
import { type EmbeddingRow, labelsIn } from '../store/row.js';
import { type DatasetRecord, EmbeddingStore } from '../store/store.js';
import { LastlayerError } from '../util/errors.js';
import type { Finding } from './finding.js';
import type { Neighbours } from './neighbours.js';

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
    /** Its fingerprint, where the store has that. */
    fingerprint: Fingerprint | undefined;
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
  'fingerprint',
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
          const { sha256, path, width, height, fingerprint } = row;
          const size = { width: width ?? 0, height: height ?? 0 };
          rows.push({
            ...pictureOf(row),
            content: sha256 ?? path,
            ...size,
            fingerprint: fingerprint ?? undefined,
          });
        }
      }
    }
    checkKinds([...rows, ...failed], record.dataset);
    rows.sort(byPath);
    failed.sort(byPath);
    const { memory, onNotice } = selection;
    const paths = rows.map(({ path }) => path);
    const source = await storedFeatures(table, record.dataset, paths, {
      memory,
      onNotice,
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

/** A standard deviation of brightness below which there is nothing to see: photographs of Imagenette, ants and bees have 7 or more. */
const EMPTY_SPREAD = 3;

/** Grey JPEGs have a chroma of 0: of 1220 Imagenette pictures, 20 have that, 2 more up to this, and 1193 above 8. */
const GREY_CHROMA = 4;

/** If more of the pictures than this are grey, that is not odd. */
const MOSTLY = 0.5;

/** The backbone sees 224 pixels a side, so a picture this small is enlarged to four times its size, and blurred. */
const TINY_SIDE = 64;

/** Pictures that are nearly of one colour or grey, by their fingerprints, or tiny. */
export function findOddPictures({ rows }: Pictures): Finding[] {
  const findings: Finding[] = [];
  const grey: Finding[] = [];
  for (const { path, width, height, fingerprint } of rows) {
    if (Math.min(width, height) < TINY_SIDE) {
      const detail = `${width} × ${height} pixels`;
      findings.push({ issue: 'tiny', path, score: -Math.min(width, height), detail });
    }
    if (!fingerprint) continue;
    const [spread, chroma] = [spreadOf(fingerprint), chromaOf(fingerprint)];
    if (spread < EMPTY_SPREAD) {
      const detail = `brightness varies by ${spread.toFixed(1)} of 255 levels`;
      findings.push({ issue: 'empty', path, score: -spread, detail });
    } else if (chroma <= GREY_CHROMA) {
      grey.push({ issue: 'grey', path, score: -chroma, detail: 'no colour' });
    }
  }
  return grey.length > MOSTLY * rows.length ? findings : [...findings, ...grey];
}

/**
 * Tukey's inner fence (Exploratory Data Analysis, 1977). Of 10 photographs of ants and bees among 1200 of Imagenette, twice,
 * all were beyond it and among the first 20, with 19 others; of 8 drawn pictures, which resemble each other, 4 and 3 were.
 */
const FENCE = 1.5;

/** With fewer pictures, nothing can be called unusual. */
const LEAST_PICTURES = 20;

/**
 * Pictures that are unlike all others: their mean distance, 1 − plain cosine, to their k nearest neighbours exceeds the upper
 * quartile by more than 1.5 times the interquartile range (a k-nearest-neighbour outlier score as in Angiulli and Pizzuti
 * 2002, cut at Tukey's inner fence).
 */
export function findOutliers({ rows }: Pictures, neighbours: Neighbours): Finding[] {
  const distances = rows.map((_, row) => distanceOf(row, neighbours));
  const sorted = distances.filter((distance) => distance !== undefined).sort((a, b) => a - b);
  if (sorted.length < LEAST_PICTURES) return [];
  const [lower, upper] = [quantile(sorted, 0.25), quantile(sorted, 0.75)];
  const fence = upper + FENCE * (upper - lower);
  return rows.flatMap(({ path }, row) => {
    const distance = distances[row];
    if (distance === undefined || distance <= fence) return [];
    const nearest = rows[neighbours.rows[row * neighbours.k]!]?.path;
    const detail = `distance ${distance.toFixed(2)} to its neighbours; the median is ${quantile(sorted, 0.5).toFixed(2)}`;
    return [{ issue: 'outlier', path, score: distance, detail, related: nearest }];
  });
}

/** Undefined for a row without neighbours, which is a copy of another. */
function distanceOf(row: number, { k, rows, plain }: Neighbours): number | undefined {
  let [sum, count] = [0, 0];
  for (let at = row * k; at < (row + 1) * k && rows[at]! >= 0; at++) {
    sum += 1 - plain[at]!;
    count++;
  }
  return count === 0 ? undefined : sum / count;
}

function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.round(q * (sorted.length - 1))] ?? NaN;
}
