import { LastlayerError, UsageError } from '../../errors.js';
import { openDataset, pictureBatches, sampleEntries, type DatasetEntry } from '../../images/index.js';
import type { Backbone } from '../backbone.js';
import { observe, type Activation } from './observe.js';

/** More change nothing: see the figures in range.ts. */
const DEFAULT_PICTURES = 128;

/** Pictures that are looked into together: the activations of one are 14 MB in a ResNet-18. */
const BATCH = 8;

export interface CalibrationOptions {
  /** Pictures to calibrate on, at most. Default: 128. */
  pictures?: number;
  /** Told of pictures that cannot be read. */
  onNotice?: (line: string) => void;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

/**
 * Sees which values the named activations take on pictures of a data set: a random sample, always the same one, of the
 * train split or else of those of no split, or else of all; half of them at most, so that some are left to judge the
 * outcome by.
 * @param dataset folder or manifest
 * @returns what was seen, by name, and the pictures
 * @throws {LastlayerError} where there is no readable picture, or the network does not run
 * @throws {UsageError} where an option is out of range
 * @throws the signal's reason, once it aborts
 */
export async function calibrate(
  backbone: Backbone,
  names: readonly string[],
  dataset: string,
  options: CalibrationOptions,
): Promise<{ activations: Map<string, Activation>; calibratedOn: DatasetEntry[] }> {
  const sample = await sampleOf(dataset, options);
  const unreadable = new Set<DatasetEntry>();
  const batches = pictureBatches(sample, {
    transform: backbone.transform,
    size: BATCH,
    onUnreadable: (entry, reason) => {
      unreadable.add(entry);
      options.onNotice?.(`Not calibrated on ${entry.path}: ${reason}.`);
    },
    ...(options.signal && { signal: options.signal }),
  });
  const pixels = async function* () {
    let done = 0;
    for await (const batch of batches) {
      yield batch.pixels;
      options.onProgress?.((done += batch.entries.length), sample.length - unreadable.size);
    }
  };
  const activations = await observe(backbone, names, pixels());
  const calibratedOn = sample.filter((entry) => !unreadable.has(entry));
  if (calibratedOn.length === 0) {
    throw new LastlayerError(
      `None of the ${sample.length} pictures of ${dataset} that were tried can be read, so there is nothing to ` +
        `calibrate on. Name other pictures with --calibrate.`,
    );
  }
  return { activations, calibratedOn };
}

async function sampleOf(
  path: string,
  { pictures = DEFAULT_PICTURES, signal }: CalibrationOptions,
): Promise<DatasetEntry[]> {
  if (!Number.isSafeInteger(pictures) || pictures < 1) {
    throw new UsageError(`pictures is ${pictures}; a whole number from 1 on is expected.`);
  }
  const dataset = await openDataset(path);
  for (const splits of [['train'], [undefined], ['val', 'test']] as const) {
    const { entries, of } = await sampleEntries(dataset, {
      splits,
      limit: pictures,
      ...(signal && { signal }),
    });
    if (of > 0) return entries.slice(0, Math.ceil(of / 2));
  }
  throw new LastlayerError(`There are no pictures in ${dataset.root} to calibrate on.`);
}
