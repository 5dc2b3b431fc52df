import { createHash } from 'node:crypto';

/** The fold of a row that is always trained on and never judged. */
export const NEVER_HELD = -1;

export interface FoldOptions {
  /** Each row's class, 0 … N − 1; −1 for rows that take no part; [M]. */
  classes: Int32Array;
  /** N */
  count: number;
  /** What each row belongs to; rows of one group stay in one fold; [M]. */
  groups: readonly string[];
  /** How many folds, 2 or more; by default {@link defaultFolds}. */
  folds?: number;
}

/**
 * Deals rows into folds for cross-validation, each with about the same part of every class. Groups are dealt one by one,
 * the largest first and equals in the order of the sha256 of their names, each into the fold that has the least of its
 * classes so far: the order of the rows does not matter. A class that would be in one fold only keeps its largest group
 * out of the folds, since a head that never saw a class cannot be judged on it.
 * @returns each row's fold, 0 … folds − 1, or {@link NEVER_HELD}, [M]; and how many folds have rows, which is fewer than
 *   wanted where groups are few, and less than 2 where nothing can be cross-validated
 */
export function stratifiedFolds(options: FoldOptions): { foldOf: Int32Array; folds: number } {
  const { classes, count, groups } = options;
  const members = membersOf(classes, groups);
  const folds = options.folds ?? defaultFolds(options);
  const totals = new Float64Array(count);
  for (const c of classes) if (c >= 0) totals[c] = (totals[c] ?? 0) + 1;
  const filled = Array.from({ length: folds }, () => new Float64Array(count));
  const sizes = new Float64Array(folds);
  const foldOf = new Int32Array(classes.length).fill(NEVER_HELD);
  for (const { rows } of members) {
    const cost = (fold: Float64Array): number =>
      sum(rows, (row) => (fold[classes[row] ?? 0] ?? 0) / (totals[classes[row] ?? 0] ?? 1));
    let [best, least] = [0, Infinity];
    filled.forEach((fold, k) => {
      const found = cost(fold);
      if (found < least || (found === least && (sizes[k] ?? 0) < (sizes[best] ?? 0)))
        [best, least] = [k, found];
    });
    for (const row of rows) {
      foldOf[row] = best;
      const fold = filled[best];
      if (fold) fold[classes[row] ?? 0] = (fold[classes[row] ?? 0] ?? 0) + 1;
    }
    sizes[best] = (sizes[best] ?? 0) + rows.length;
  }
  keepLonelyClassesInTraining(classes, totals, filled, members, foldOf);
  return withoutEmptyFolds(foldOf);
}

function withoutEmptyFolds(foldOf: Int32Array): { foldOf: Int32Array; folds: number } {
  const used = [...new Set(foldOf)].filter((fold) => fold !== NEVER_HELD).sort((a, b) => a - b);
  return { foldOf: foldOf.map((fold) => used.indexOf(fold)), folds: used.length };
}

/**
 * 5, or as many as the smallest class has groups where that is fewer, but at least 3: with fewer, each head would be
 * judged that has seen half of the pictures only.
 */
export function defaultFolds({ classes, count, groups }: Omit<FoldOptions, 'folds'>): number {
  const seen = Array.from({ length: count }, () => new Set<string>());
  classes.forEach((c, row) => {
    const names = seen[c];
    if (names && names.size < 5) names.add(groups[row] ?? '');
  });
  return Math.max(3, Math.min(5, ...seen.filter(({ size }) => size > 0).map(({ size }) => size)));
}

interface Group {
  rows: number[];
  key: string;
}

/** The groups in the order in which they are dealt. */
function membersOf(classes: Int32Array, groups: readonly string[]): Group[] {
  const rowsOf = new Map<string, number[]>();
  classes.forEach((c, row) => {
    if (c < 0) return;
    const rows = rowsOf.get(groups[row] ?? '');
    if (rows) rows.push(row);
    else rowsOf.set(groups[row] ?? '', [row]);
  });
  return [...rowsOf]
    .map(([name, rows]) => ({ rows, key: createHash('sha256').update(name).digest('hex') }))
    .sort((a, b) => b.rows.length - a.rows.length || (a.key < b.key ? -1 : 1));
}

function keepLonelyClassesInTraining(
  classes: Int32Array,
  totals: Float64Array,
  filled: readonly Float64Array[],
  members: readonly Group[],
  foldOf: Int32Array,
): void {
  const lonely = new Set<number>();
  totals.forEach((total, c) => {
    if (total > 0 && filled.some((fold) => fold[c] === total)) lonely.add(c);
  });
  for (const { rows } of members) {
    const own = rows.map((row) => classes[row] ?? 0).filter((c) => lonely.has(c));
    if (own.length === 0) continue;
    for (const row of rows) foldOf[row] = NEVER_HELD;
    for (const c of own) lonely.delete(c);
  }
}

function sum(rows: readonly number[], value: (row: number) => number): number {
  let total = 0;
  for (const row of rows) total += value(row);
  return total;
}
