import type { Backbone } from '../backbone/backbone.js';
import type { DatasetEntry, Split } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import { sampleEntries } from '../data/sample.js';
import type { Head } from '../head/head.js';
import { holdOut } from '../head/split.js';
import { trainHead } from '../head/train.js';
import { pictureBatches } from '../image/batches.js';
import { LastlayerError } from '../util/errors.js';
import { dot, mean } from '../util/math.js';

/** At most this many training pictures, and as many validation pictures. */
const MOST = 1000;

/** With fewer validation pictures, comparing heads says nothing. */
const LEAST_VALIDATION = 20;

/** The fraction of the labelled pictures to hold out if the data set has no validation split. */
const HELD_OUT = 0.4;

const BATCH = 32;

export interface FidelityOptions {
  /** Pictures that the other backbone was fitted to. Cosines and accuracies are measured on others. */
  except: readonly DatasetEntry[];
  onNotice?: ((line: string) => void) | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** How close the embeddings of one backbone are to those of another. */
export interface Fidelity {
  /** Pictures whose embeddings were compared. */
  pictures: number;
  /** Cosine of a picture's two embeddings: the mean, and that of the picture for which they differ most. */
  meanCosine: number;
  lowestCosine: number;
  /** What it means for a head; null if there are too few labelled pictures. */
  heads: HeadFidelity | null;
}

/** Two heads, trained and evaluated on the same pictures, each with the embeddings of one backbone. */
export interface HeadFidelity {
  classes: number;
  trainedOn: number;
  evaluatedOn: number;
  validatedOn: 'validation split' | 'held-out part';
  /** The accuracy with either backbone, 0 … 1. */
  accuracy: { reference: number; other: number };
  /** The fraction of the validation pictures for which both heads predict the same class, 0 … 1. */
  agreement: number;
}

/**
 * Measures what a backbone loses that approximates another one, such as its int8 model: the cosine between the two
 * embeddings of each picture, and the accuracies of two heads, one trained on each.
 *
 * Up to 1000 training and 1000 validation pictures are taken, the same ones each time. If the data set has no
 * validation split, some of the training pictures are held out for one.
 * @param dataset folder or manifest
 * @throws {LastlayerError} if there is no picture to compare on, or a backbone does not run
 * @throws the signal's reason, once it aborts
 */
export async function measureFidelity(
  reference: Backbone,
  other: Backbone,
  dataset: string,
  options: FidelityOptions,
): Promise<Fidelity> {
  const excepted = new Set(options.except.map(({ path }) => path));
  const rows = await embedByBoth(reference, other, await picturesOf(dataset, options.signal), options);
  const fresh = rows.filter(({ entry }) => !excepted.has(entry.path));
  if (fresh.length === 0) {
    throw new LastlayerError(
      `${dataset} has no readable pictures except those that were used for calibration, so there is nothing to compare on.`,
    );
  }
  const cosines = fresh.map((row) => cosine(row.reference, row.other));
  return {
    pictures: fresh.length,
    meanCosine: mean(cosines)!,
    lowestCosine: cosines.reduce((lowest, value) => Math.min(lowest, value), 1),
    heads: await compareHeads(rows, excepted, reference, other, options),
  };
}

/** A picture and its embedding by either backbone. */
interface Row {
  entry: DatasetEntry;
  reference: Float32Array;
  other: Float32Array;
}

async function picturesOf(path: string, signal: AbortSignal | undefined): Promise<DatasetEntry[]> {
  const dataset = await openDataset(path);
  const sample = async (splits: (Split | undefined)[]) =>
    (await sampleEntries(dataset, { splits, limit: MOST, signal })).entries;
  const pictures = [...(await sample(['train', undefined])), ...(await sample(['val']))];
  return pictures.length > 0 ? pictures : sample(['test']);
}

async function embedByBoth(
  reference: Backbone,
  other: Backbone,
  entries: readonly DatasetEntry[],
  { onNotice, onProgress, signal }: FidelityOptions,
): Promise<Row[]> {
  const rows: Row[] = [];
  let done = 0;
  const batches = pictureBatches(entries, {
    transform: reference.transform,
    size: BATCH,
    onUnreadable: ({ path }, reason) => {
      done++;
      onNotice?.(`Not compared on ${path}: ${reason}.`);
    },
    signal,
  });
  const { width } = reference;
  for await (const batch of batches) {
    const one = (await reference.run(batch.pixels)).embedding;
    const two = (await other.run(batch.pixels)).embedding;
    batch.entries.forEach((entry, i) => {
      const [from, to] = [i * width, (i + 1) * width];
      rows.push({ entry, reference: one.slice(from, to), other: two.slice(from, to) });
    });
    onProgress?.((done += batch.entries.length), entries.length);
  }
  return rows;
}

async function compareHeads(
  rows: readonly Row[],
  excepted: ReadonlySet<string>,
  reference: Backbone,
  other: Backbone,
  { onNotice, signal }: FidelityOptions,
): Promise<HeadFidelity | null> {
  const { train, validation, validatedOn } = splitPictures(rows, excepted);
  if (validation.length < LEAST_VALIDATION) {
    onNotice?.(`Too few labelled pictures (${validation.length} for validation) to compare heads.`);
    return null;
  }
  const predictions = async (backbone: Backbone, side: 'reference' | 'other') => {
    const head = await trainOn(train, backbone, side, signal);
    return { head, labels: head.predict(joined(validation, side)).map(([best]) => best?.label) };
  };
  try {
    const one = await predictions(reference, 'reference');
    const two = await predictions(other, 'other');
    const accuracy = (labels: readonly (string | undefined)[]) =>
      mean(validation.map(({ entry }, i) => Number(labels[i] === entry.label)))!;
    return {
      classes: one.head.labels.length,
      trainedOn: train.length,
      evaluatedOn: validation.length,
      validatedOn,
      accuracy: { reference: accuracy(one.labels), other: accuracy(two.labels) },
      agreement: mean(one.labels.map((label, i) => Number(label === two.labels[i])))!,
    };
  } catch (error) {
    if (!(error instanceof LastlayerError)) throw error;
    onNotice?.(`Heads cannot be compared: ${error.message}`);
    return null;
  }
}

/** The labelled pictures to train and to evaluate heads on. The backbone was not fitted to any of the latter. */
function splitPictures(
  rows: readonly Row[],
  excepted: ReadonlySet<string>,
): { train: Row[]; validation: Row[]; validatedOn: HeadFidelity['validatedOn'] } {
  const labelled = rows.filter(({ entry }) => entry.label !== undefined && entry.split !== 'test');
  const validation = labelled.filter(({ entry }) => entry.split === 'val' && !excepted.has(entry.path));
  const train = labelled.filter(({ entry }) => entry.split !== 'val');
  if (validation.length > 0) return { train, validation, validatedOn: 'validation split' };
  const fresh = train.filter(({ entry }) => !excepted.has(entry.path));
  const held = holdOut({
    labels: fresh.map(({ entry }) => entry.label ?? ''),
    ids: fresh.map(({ entry }) => entry.path),
    fraction: HELD_OUT,
  });
  const heldOut = new Set(held.validation.map((i) => fresh[i]));
  return {
    train: train.filter((row) => !heldOut.has(row)),
    validation: train.filter((row) => heldOut.has(row)),
    validatedOn: 'held-out part',
  };
}

async function trainOn(
  rows: readonly Row[],
  { id, transformId, width }: Backbone,
  side: 'reference' | 'other',
  signal: AbortSignal | undefined,
): Promise<Head> {
  return trainHead({
    embeddings: joined(rows, side),
    width,
    labels: rows.map(({ entry }) => entry.label ?? ''),
    modelId: id,
    transformId,
    signal,
  });
}

/** The embeddings one after another, [rows × width]. */
function joined(rows: readonly Row[], side: 'reference' | 'other'): Float32Array {
  const width = rows[0]?.[side].length ?? 0;
  const all = new Float32Array(rows.length * width);
  rows.forEach((row, i) => {
    all.set(row[side], i * width);
  });
  return all;
}

/** a · b / (‖a‖ ‖b‖); 1 for two zero vectors, 0 for a zero vector and another one. */
function cosine(a: Float32Array, b: Float32Array): number {
  const [x, y] = [new Float64Array(a), new Float64Array(b)];
  const [xx, yy] = [dot(x, x), dot(y, y)];
  if (xx === 0 || yy === 0) return xx === yy ? 1 : 0;
  return dot(x, y) / Math.sqrt(xx * yy);
}
