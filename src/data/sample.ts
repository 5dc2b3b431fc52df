import { relative } from 'node:path';
import { sha256Of } from '../util/hash.js';
import type { Dataset, DatasetEntry, Split } from './dataset.js';

/**
 * A random sample of a data set that is always the same one, whatever order the files are listed in: the pictures whose
 * paths, relative to the data set, have the smallest sha256. The data set is gone through once and no more than
 * `2 · limit` entries are held.
 * @param options.splits only pictures of these splits, where undefined stands for those of no split
 * @param options.limit how many pictures at most
 * @param options.signal breaks off
 * @returns the sample, in the order of the digests, and how many pictures it was drawn from
 * @throws the signal's reason, once it aborts
 */
export async function sampleEntries(
  dataset: Dataset,
  {
    splits,
    limit,
    signal,
  }: { splits: readonly (Split | undefined)[]; limit: number; signal?: AbortSignal | undefined },
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
    sample.push({
      entry,
      key: keyOf(entry.source?.kind === 'url' ? entry.path : relative(dataset.root, entry.path)),
    });
    if (sample.length >= 2 * limit) shorten();
  }
  shorten();
  return { entries: sample.map(({ entry }) => entry), of };
}

function keyOf(path: string): string {
  // Windows writes the same path with other separators.
  return sha256Of(path.replaceAll('\\', '/'));
}
