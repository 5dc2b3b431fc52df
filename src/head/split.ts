import { LastlayerError } from '../util/errors.js';
import { sha256Of } from '../util/hash.js';
import { DisjointSets } from '../util/math.js';
import { checkNumber } from '../util/validate.js';
import type { RowMask, Strata } from './task.js';

/** A class is never left with fewer training rows than this. */
const LEAST_IN_TRAINING = 2;

export interface HoldOutOptions {
  /** The label of each row. */
  labels: readonly string[];
  /** What identifies each row wherever it lies, such as the sha256 of its picture. Rows with equal ids stay together. */
  ids: readonly string[];
  /** What else has to stay together, such as the subject of a picture. @default the ids */
  groups?: readonly string[] | undefined;
  /** The fraction of each class to hold out, between 0 and 1. @default 0.2 */
  fraction?: number | undefined;
}

/** Row numbers, in ascending order. */
export interface HoldOut {
  train: number[];
  validation: number[];
}

/**
 * Holds out a fraction of each class for validation, rounded, but at least 1 row and never so many that fewer than 2 are
 * left for training; large groups may make it less. Groups are taken in the order of the sha256 of their names, so the
 * order of the rows does not matter, and adding or removing a picture leaves nearly all others where they were.
 * @throws {LastlayerError} if labels, ids and groups differ in length
 * @throws {UsageError} if the fraction is not between 0 and 1
 */
export function holdOut({ labels, ids, groups = ids, fraction = 0.2 }: HoldOutOptions): HoldOut {
  if (ids.length !== labels.length || groups.length !== labels.length) {
    throw new LastlayerError(
      `Each row needs a label, an id and a group, but there are ${labels.length} labels, ${ids.length} ids and ` +
        `${groups.length} groups.`,
    );
  }
  checkNumber('The fraction to hold out', fraction, { above: 0, below: 1, example: 0.2 });
  const classSizes = countLabels(labels);
  const most = (classSize: number) => Math.max(0, classSize - LEAST_IN_TRAINING);
  const held = new Map<string, number>();
  const isHeld = new Set<string>();

  const take = (group: LabelledGroup, limit: (size: number) => number): void => {
    const fits = [...group.counts].every(
      ([label, count]) => (held.get(label) ?? 0) + count <= limit(classSizes.get(label) ?? 0),
    );
    if (!fits) return;
    isHeld.add(group.name);
    for (const [label, count] of group.counts) held.set(label, (held.get(label) ?? 0) + count);
  };

  const ordered = labelledGroups(labels, groups);
  for (const group of ordered) take(group, (size) => Math.min(most(size), Math.round(fraction * size)));
  // A class whose groups are all larger than its share has nothing held out yet: take the smallest that may go.
  for (const label of classSizes.keys()) {
    const candidates = ordered
      .filter(({ counts }) => counts.has(label))
      .sort((a, b) => (a.counts.get(label) ?? 0) - (b.counts.get(label) ?? 0));
    for (const group of candidates) if (!held.has(label)) take(group, most);
  }

  const rows = labels.map((_, i) => i);
  return {
    train: rows.filter((i) => !isHeld.has(groups[i]!)),
    validation: rows.filter((i) => isHeld.has(groups[i]!)),
  };
}

/** Rows that stay together, and how many of them each class has. */
interface LabelledGroup {
  name: string;
  counts: Map<string, number>;
}

/** The groups, in the order of the sha256 of their names. */
function labelledGroups(labels: readonly string[], groups: readonly string[]): LabelledGroup[] {
  const labelsOf = new Map<string, string[]>();
  groups.forEach((name, i) => {
    const members = labelsOf.get(name) ?? [];
    members.push(labels[i]!);
    labelsOf.set(name, members);
  });
  return [...labelsOf]
    .map(([name, members]) => ({ name, counts: countLabels(members), key: sha256Of(name) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

function countLabels(labels: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return counts;
}

/** The fold of a row that is always trained on and never held out. */
export const NEVER_HELD = -1;

export interface FoldOptions {
  /** What to balance the folds by, such as the classes; see `Task.strata`. */
  strata: Strata;
  /** What each row belongs to. Rows of one group stay in one fold; [M]. */
  groups: readonly string[];
  /** How many folds, 2 or more. @default {@link defaultFolds} */
  folds?: number | undefined;
}

/**
 * Assigns rows to folds for cross-validation, each with about the same share of every stratum. Groups are assigned one by
 * one, the largest first and equals in the order of the sha256 of their names, each to the fold that has the least of its
 * strata so far, so the order of the rows does not matter. A stratum that would be in one fold only keeps its largest
 * group out of the folds, since a head that never saw a class cannot be evaluated on it.
 * @returns each row's fold, 0 … folds − 1, or {@link NEVER_HELD}, [M]; and how many folds have rows, which is fewer than
 *   asked for if groups are few, and less than 2 if nothing can be cross-validated
 */
export function stratifiedFolds(options: FoldOptions): { foldOf: Int32Array; folds: number } {
  const { strata, groups } = options;
  const { of: stratumOf, count } = strata;
  const members = groupsBySize(stratumOf, groups);
  const folds = options.folds ?? defaultFolds(strata, groups);
  const totals = new Float64Array(count);
  for (const s of stratumOf) if (s >= 0) totals[s]!++;
  const filled = Array.from({ length: folds }, () => new Float64Array(count));
  const sizes = new Float64Array(folds);
  const foldOf = new Int32Array(stratumOf.length).fill(NEVER_HELD);
  for (const { rows } of members) {
    let [best, least] = [0, Infinity];
    filled.forEach((fold, k) => {
      let cost = 0;
      for (const row of rows) cost += fold[stratumOf[row]!]! / totals[stratumOf[row]!]!;
      if (cost < least || (cost === least && sizes[k]! < sizes[best]!)) [best, least] = [k, cost];
    });
    for (const row of rows) {
      foldOf[row] = best;
      filled[best]![stratumOf[row]!]!++;
    }
    sizes[best]! += rows.length;
  }
  keepLonelyStrataInTraining(stratumOf, totals, filled, members, foldOf);
  const used = [...new Set(foldOf)].filter((fold) => fold !== NEVER_HELD).sort((a, b) => a - b);
  return { foldOf: foldOf.map((fold) => used.indexOf(fold)), folds: used.length };
}

/**
 * 5, or as many as the smallest stratum has groups if that is fewer, but at least 3: with two folds, each head would have
 * seen only half of the pictures.
 */
export function defaultFolds({ of: stratumOf, count }: Strata, groups: readonly string[]): number {
  const seen = Array.from({ length: count }, () => new Set<string>());
  stratumOf.forEach((s, row) => {
    const names = seen[s];
    if (names && names.size < 5) names.add(groups[row]!);
  });
  return Math.max(3, Math.min(5, ...seen.filter(({ size }) => size > 0).map(({ size }) => size)));
}

/** The groups in the order in which they are assigned. */
function groupsBySize(stratumOf: Int32Array, groups: readonly string[]): { rows: number[] }[] {
  const rowsOf = new Map<string, number[]>();
  stratumOf.forEach((s, row) => {
    if (s < 0) return;
    const rows = rowsOf.get(groups[row]!);
    if (rows) rows.push(row);
    else rowsOf.set(groups[row]!, [row]);
  });
  return [...rowsOf]
    .map(([name, rows]) => ({ rows, key: sha256Of(name) }))
    .sort((a, b) => b.rows.length - a.rows.length || (a.key < b.key ? -1 : 1));
}

function keepLonelyStrataInTraining(
  stratumOf: Int32Array,
  totals: Float64Array,
  filled: readonly Float64Array[],
  members: readonly { rows: number[] }[],
  foldOf: Int32Array,
): void {
  const lonely = new Set<number>();
  totals.forEach((total, s) => {
    if (total > 0 && filled.some((fold) => fold[s] === total)) lonely.add(s);
  });
  for (const { rows } of members) {
    const own = rows.map((row) => stratumOf[row]!).filter((s) => lonely.has(s));
    if (own.length === 0) continue;
    for (const row of rows) foldOf[row] = NEVER_HELD;
    for (const s of own) lonely.delete(s);
  }
}

/**
 * What has to stay together: rows that share an id or a group, directly or through others, so that neither identical
 * pictures nor pictures of one subject end up on both sides of a split.
 * @param ids each row's id, such as the sha256 of its picture; [M]
 * @param groups each row's group, such as the subject of its picture, or undefined; [M]
 * @returns the name of each row's set, whatever the order of the rows; [M]
 */
export function joinGroups(ids: readonly string[], groups: readonly (string | undefined)[]): readonly string[] {
  if (groups.every((group) => group === undefined)) return ids;
  const sets = new DisjointSets(ids.length);
  for (const names of [ids, groups]) {
    const first = new Map<string, number>();
    names.forEach((name, row) => {
      if (name === undefined) return;
      const known = first.get(name);
      if (known === undefined) first.set(name, row);
      else sets.join(row, known);
    });
  }
  const nameOf = new Map<number, string>();
  ids.forEach((id, row) => {
    const root = sets.rootOf(row);
    const name = nameOf.get(root);
    if (name === undefined || id < name) nameOf.set(root, id);
  });
  return ids.map((_, row) => nameOf.get(sets.rootOf(row))!);
}

/** The rows in the order of the sha256 of their groups, which depends on nothing else. @param groups [M] */
export function shuffledRows(groups: readonly string[]): Int32Array {
  const keys = groups.map((group) => sha256Of(group));
  return Int32Array.from(keys, (_, row) => row).sort((a, b) => {
    const [first, second] = [keys[a]!, keys[b]!];
    return first < second ? -1 : first > second ? 1 : a - b;
  });
}

/**
 * The first rows of each stratum.
 * @param order the rows, see {@link shuffledRows}
 * @param share of each stratum, rounded up; 0 … 1
 * @param least rows of each stratum, if it has so many. @default 1
 */
export function subsetOf(
  { of: stratumOf, count }: Strata,
  mask: RowMask,
  order: Int32Array,
  { share, least = 1 }: { share: number; least?: number | undefined },
): RowMask {
  const sizes = new Float64Array(count);
  const isIn = (row: number): boolean => stratumOf[row]! >= 0 && mask(row);
  for (const row of order) if (isIn(row)) sizes[stratumOf[row]!]!++;
  const wanted = sizes.map((size) => Math.max(least, Math.ceil(share * size)));
  const chosen = new Uint8Array(order.length);
  for (const row of order) {
    const s = stratumOf[row]!;
    if (!isIn(row) || wanted[s] === 0) continue;
    chosen[row] = 1;
    wanted[s]!--;
  }
  return (row) => chosen[row] === 1;
}
