import { viewsLearntFrom, type Examples, type Part } from './examples.js';
import { strataOf } from './strata.js';
import { loadPart, shuffledRows, subsetOf } from './subset.js';

/** So many rows are loaded in any case. */
const LEAST_ROWS = 5_000;

/** Of each class so many, where it has them, however small its share. */
const LEAST_OF_CLASS = 10;

/**
 * The examples that cross-validation goes by: all of a part where the features lie in memory, and otherwise as many of
 * each class, in proportion, as find room there. It takes hundreds of passes, too many to read the features each time.
 * @returns examples with the same row numbers, the part of them and how many rows that is
 */
export async function forCrossValidation(
  examples: Examples,
  part: Part,
  groups: readonly string[],
): Promise<{ examples: Examples; part: Part; rows: number }> {
  const { source, classes } = examples;
  const count = (isIn: Part) => classes.reduce((n, c, row) => (c >= 0 && isIn(row) ? n + 1 : n), 0);
  const all = count(part);
  if (source.inMemory) return { examples, part, rows: all };
  const withViews = all + viewsLearntFrom(examples, part);
  const share = Math.min(1, Math.max(LEAST_ROWS / all, source.room / withViews));
  const some = subsetOf(strataOf(examples, part), part, shuffledRows(groups), {
    share,
    least: LEAST_OF_CLASS,
  });
  const rows = count(some);
  return { examples: { ...examples, source: await loadPart(source, some, rows) }, part: some, rows };
}
