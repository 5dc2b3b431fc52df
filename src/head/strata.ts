import type { Examples, Part } from './examples.js';

/** What rows are dealt by, so that each part of them has its share of everything. */
export interface Strata {
  /** Each row's stratum, 0 … count − 1; −1 where it takes no part; [M]. */
  of: Int32Array;
  count: number;
}

/**
 * The rows' classes; for rows with any number of labels, the rarest thing that is true of each: that it has some label, or
 * that it lacks one. Where all strata are in at least two folds, so are the rows with, and those without, each label: a row
 * of the rarer one of two facts is in a stratum no larger than it.
 */
export function strataOf(
  { names, classes, sets }: Pick<Examples, 'names' | 'classes' | 'sets'>,
  part: Part,
): Strata {
  const taking = classes.map((c, row) => (part(row) ? c : -1));
  if (!sets) return { of: taking, count: names.length };
  const sizes = new Float64Array(2 * names.length);
  const factsOf = sets.map((set) => {
    const has = new Set(set);
    return names.map((_, n) => (has.has(n) ? n : names.length + n));
  });
  for (const c of taking) for (const fact of factsOf[c] ?? []) sizes[fact] = (sizes[fact] ?? 0) + 1;
  const rarest = factsOf.map((facts) =>
    facts.reduce((best, fact) => ((sizes[fact] ?? 0) < (sizes[best] ?? 0) ? fact : best)),
  );
  return { of: taking.map((c) => rarest[c] ?? -1), count: 2 * names.length };
}
