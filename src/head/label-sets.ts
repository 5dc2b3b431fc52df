import { LastlayerError } from '../errors.js';
import type { Part } from './examples.js';

/** Sets of labels, each as ascending places among the labels' names. Far fewer are distinct than there are rows. */
export type LabelSets = readonly (readonly number[])[];

/** Rows with any number of labels as numbers. */
export interface EncodedLabelSets {
  /** The labels of the rows that are learnt from, in code unit order; N. */
  names: string[];
  sets: LabelSets;
  /** Each row's place in `sets`; [M]. */
  classes: Int32Array;
}

/**
 * Numbers the labels, and the sets of them that rows have. Labels that only rows have that are not learnt from are left out
 * of these rows' sets.
 * @param labels of each row, none or more; [M]
 * @param learnt the rows that are learnt from; default all
 * @throws {LastlayerError} where these have no labels at all, or fewer than two of them have, or lack, some label
 */
export function encodeLabelSets(
  labels: readonly (readonly string[])[],
  learnt: Part = () => true,
): EncodedLabelSets {
  const counts = new Map<string, number>();
  let rows = 0;
  labels.forEach((set, row) => {
    if (!learnt(row)) return;
    rows++;
    for (const label of new Set(set)) counts.set(label, (counts.get(label) ?? 0) + 1);
  });
  checkCounts(counts, rows);
  const names = [...counts.keys()].sort();
  const placeOf = new Map(names.map((name, n) => [name, n]));
  const sets: number[][] = [];
  const setOf = new Map<string, number>();
  const classes = Int32Array.from(labels, (set) => {
    const places = [...new Set(set.flatMap((label) => placeOf.get(label) ?? []))].sort((a, b) => a - b);
    const key = places.join();
    const known = setOf.get(key) ?? sets.push(places) - 1;
    setOf.set(key, known);
    return known;
  });
  return { names, sets, classes };
}

function checkCounts(counts: ReadonlyMap<string, number>, rows: number): void {
  if (counts.size === 0) {
    throw new LastlayerError(
      `None of the ${rows} rows to learn from has a label, so there is nothing to learn. Give some of them labels.`,
    );
  }
  for (const [label, count] of [...counts].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (count >= 2 && rows - count >= 2) continue;
    const [few, what] = count < 2 ? ['positives', 'with'] : ['negatives', 'without'];
    throw new LastlayerError(
      `The label ${JSON.stringify(label)} is on ${count} of the ${rows} rows to learn from: too few ${few}. Add pictures ` +
        `${what} it, until there are at least 2, or leave the label out.`,
    );
  }
}
