import { createHash } from 'node:crypto';
import type { Part } from './examples.js';
import { blocksOf, type FeatureSource } from './features.js';
import type { Strata } from './strata.js';

/**
 * The rows in an order that depends on nothing but what they belong to: that of the sha256 of their groups.
 * @param groups [M]
 */
export function shuffledRows(groups: readonly string[]): Int32Array {
  const keys = groups.map((group) => createHash('sha256').update(group).digest('hex'));
  return Int32Array.from(keys, (_, row) => row).sort((a, b) => {
    const [first, second] = [keys[a] ?? '', keys[b] ?? ''];
    return first < second ? -1 : first > second ? 1 : a - b;
  });
}

/**
 * The first rows of each class, or stratum.
 * @param order the rows, see {@link shuffledRows}
 * @param share of each class, rounded up; 0 … 1
 * @param least rows of each class, where it has so many
 */
export function subsetOf(
  { of: classes, count }: Strata,
  part: Part,
  order: Int32Array,
  { share, least = 1 }: { share: number; least?: number },
): Part {
  const sizes = new Float64Array(count);
  const isIn = (row: number): boolean => (classes[row] ?? -1) >= 0 && part(row);
  for (const row of order) if (isIn(row)) sizes[classes[row] ?? 0] = (sizes[classes[row] ?? 0] ?? 0) + 1;
  const wanted = sizes.map((size) => Math.max(least, Math.ceil(share * size)));
  const chosen = new Uint8Array(order.length);
  for (const row of order) {
    const c = classes[row] ?? -1;
    if (!isIn(row) || (wanted[c] ?? 0) === 0) continue;
    chosen[row] = 1;
    wanted[c] = (wanted[c] ?? 0) - 1;
  }
  return (row) => chosen[row] === 1;
}

/** Reads the features of a part, further views included, into memory. The rows keep their numbers. */
export async function loadPart(source: FeatureSource, part: Part, rows: number): Promise<FeatureSource> {
  const { width, views } = source;
  const blocks = await loadBlocks(source, part, width, rows);
  const loaded = { width, inMemory: true, room: rows, blocks };
  if (!views) return loaded;
  const count = views.counts.reduce((sum, each, row) => (part(row) ? sum + each : sum), 0);
  return { ...loaded, views: { counts: views.counts, blocks: await loadBlocks(views, part, width, count) } };
}

async function loadBlocks(
  source: Pick<FeatureSource, 'blocks'>,
  part: Part,
  width: number,
  count: number,
): Promise<FeatureSource['blocks']> {
  const [features, numbers] = [new Float32Array(count * width), new Int32Array(count)];
  let filled = 0;
  for await (const block of source.blocks()) {
    block.rows.forEach((row, i) => {
      if (!part(row)) return;
      features.set(block.features.subarray(i * width, (i + 1) * width), filled * width);
      numbers[filled++] = row;
    });
  }
  return () => blocksOf(features, width, (i) => numbers[i] ?? 0);
}
