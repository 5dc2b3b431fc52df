import { relative } from 'node:path';
import { sha256Of } from '../util/hash.js';
import type { Dataset, DatasetEntry, Split } from './dataset.js';

interface SampleOptions {
  /** Undefined stands for pictures without a split. */
  splits: readonly (Split | undefined)[];
  /** The most pictures to take. */
  limit: number;
  signal?: AbortSignal | undefined;
}

/**
 * A random but repeatable sample of a data set, whatever order the files are listed in: the pictures whose paths, relative to the
 * data set, have the smallest SHA-256. Holds at most `2 · limit` entries in memory.
 * @returns the sample, in the order of the digests, and how many pictures it was drawn from
 * @throws the signal's reason, once it aborts
 */
export async function sampleEntries(
  dataset: Dataset,
  { splits, limit, signal }: SampleOptions,
): Promise<{ entries: DatasetEntry[]; of: number }> {
  let sample: { entry: DatasetEntry; key: string }[] = [];
  let of = 0;
  const shorten = () => {
    sample = sample.sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, limit);
  };
  for await (const entry of dataset.entries()) {
    signal?.throwIfAborted();
    if (!splits.includes(entry.split)) continue;
    of++;
    const path = entry.source?.kind === 'url' ? entry.path : relative(dataset.root, entry.path);
    // Windows separates the same path by backslashes.
    sample.push({ entry, key: sha256Of(path.replaceAll('\\', '/')) });
    if (sample.length >= 2 * limit) shorten();
  }
  shorten();
  return { entries: sample.map(({ entry }) => entry), of };
}
