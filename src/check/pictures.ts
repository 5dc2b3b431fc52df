import pLimit from 'p-limit';
import { type Split, splitNamed } from '../data/dataset.js';
import { readPictureFile } from '../data/read.js';
import type { FeatureSource } from '../head/examples.js';
import { decodeImage } from '../image/decode.js';
import { chromaOf, type Fingerprint, fingerprintOf, spreadOf } from '../image/fingerprint.js';
import { IMAGENET_TRANSFORM } from '../image/transform.js';
import { chooseDataset, type Selection } from '../store/dataset-rows.js';
import { storedFeatures } from '../store/features.js';
import { type EmbeddingRow, labelsIn } from '../store/row.js';
import { type DatasetRecord, EmbeddingStore } from '../store/store.js';
import { abortable } from '../util/async.js';
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

const CONCURRENCY = 16;

interface LookOptions {
  /** Open the pictures whose fingerprint is not in the store. */
  open: boolean;
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * The fingerprints of the pictures: as the store has them, else from the files.
 * @returns one for each row; undefined where the picture is not opened, or the file is gone or cannot be read any more
 * @throws the signal's reason, once it aborts
 */
export async function fingerprintsOf(
  rows: Pictures['rows'],
  { open, signal, onProgress }: LookOptions,
): Promise<(Fingerprint | undefined)[]> {
  const total = rows.filter(({ fingerprint }) => !fingerprint).length;
  const limit = pLimit(CONCURRENCY);
  let done = 0;
  const fingerprints = Promise.all(
    rows.map(async ({ fingerprint, path }) =>
      fingerprint || !open
        ? fingerprint
        : limit(async () => {
            signal?.throwIfAborted();
            const found = await fingerprintOfFile(path).catch(() => undefined);
            onProgress?.(++done, total);
            return found;
          }),
    ),
  );
  return abortable(fingerprints, signal);
}

async function fingerprintOfFile(path: string): Promise<Fingerprint> {
  const { pixels } = await decodeImage(await readPictureFile(path), IMAGENET_TRANSFORM);
  return fingerprintOf(pixels);
}

/** Grey levels of deviation below which there is nothing to see: photographs of Imagenette, ants and bees have 7 or more. */
const EMPTY_SPREAD = 3;

/** Grey pictures out of JPEG files have 0: of 1220 Imagenette pictures, 20 have that, 2 more up to this, and 1193 above 8. */
const GREY_CHROMA = 4;

/** Where more of the pictures than this are grey, being so is nothing odd. */
const MOSTLY = 0.5;

/** The backbone sees pictures of 224 pixels; one of this many is enlarged to four times its size, and blurred. */
const TINY_SIDE = 64;

/** Pictures that are nearly of one colour or grey, which only their fingerprints tell, or tiny. */
export function findOddPictures(
  { rows }: Pictures,
  fingerprints: readonly (Fingerprint | undefined)[],
): Finding[] {
  const findings: Finding[] = [];
  const grey: Finding[] = [];
  rows.forEach(({ path, width, height }, row) => {
    if (Math.min(width, height) < TINY_SIDE) {
      const detail = `${width} × ${height} pixels`;
      findings.push({ issue: 'tiny', path, score: -Math.min(width, height), detail });
    }
    const fingerprint = fingerprints[row];
    if (!fingerprint) return;
    const [spread, chroma] = [spreadOf(fingerprint), chromaOf(fingerprint)];
    if (spread < EMPTY_SPREAD) {
      const detail = `brightness varies by ${spread.toFixed(1)} of 255 levels`;
      findings.push({ issue: 'empty', path, score: -spread, detail });
    } else if (chroma <= GREY_CHROMA) {
      grey.push({ issue: 'grey', path, score: -chroma, detail: 'no colour' });
    }
  });
  return grey.length > MOSTLY * rows.length ? findings : [...findings, ...grey];
}

/**
 * Tukey's inner fence, Exploratory Data Analysis, 1977. Of 10 photographs of ants and bees among 1200 of Imagenette, twice,
 * all were beyond it and among the first 20, with 19 others; of 8 drawn pictures, which are like each other, 4 and 3 were.
 */
const FENCE = 1.5;

/** With fewer pictures nothing is usual, so nothing unusual. */
const LEAST_PICTURES = 20;

/**
 * Pictures that are unlike all others: those whose mean distance, 1 − plain cosine, to their k nearest neighbours is above the
 * upper quartile by 1.5 times the interquartile range (a k-nearest-neighbour outlier score as of Angiulli and Pizzuti 2002, cut
 * at Tukey's inner fence).
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
    const detail = `distance ${distance.toFixed(2)} to its nearest, where ${quantile(sorted, 0.5).toFixed(2)} is usual`;
    return [{ issue: 'outlier', path, score: distance, detail, ...(nearest && { related: nearest }) }];
  });
}

/** Undefined for a row without neighbours: a copy of another. */
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
