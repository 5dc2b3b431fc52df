import { LastlayerError } from '../util/errors.js';
import { sha256Of } from '../util/hash.js';
import { checkNumber } from '../util/validate.js';
import { DisjointSets } from '../util/math.js';
import { blocksOf, type Examples, type FeatureSource, type Part } from './examples.js';

/** Class examples that a hold-out never goes below in training: one would not do to learn from. */
const LEAST_IN_TRAINING = 2;

interface HoldOutOptions {
  /** The label of each row. */
  labels: readonly string[];
  /** What each row is known by wherever it lies, such as the sha256 of its picture; rows with equal ids stay together. */
  ids: readonly string[];
  /** What else has to stay together, such as the subject of a picture; takes the place of the ids. */
  groups?: readonly string[] | undefined;
  /** The part of each class to hold out, between 0 and 1; default 0.2. */
  fraction?: number | undefined;
}

/** Row numbers, in ascending order. */
interface HoldOut {
  train: number[];
  validation: number[];
}

/**
 * Holds out part of each class for validation: `fraction` of it, rounded, but at least 1 row and never so many that
 * fewer than 2 stay in training; groups larger than that may make it less. Groups are taken in the order of the sha256
 * of their names, so the order of the rows does not matter, and a picture more or less leaves nearly all others where
 * they were.
 * @throws {LastlayerError} where labels, ids and groups differ in length
 * @throws {UsageError} where the fraction is not between 0 and 1
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

  const ordered = groupRows(labels, groups);
  for (const group of ordered) take(group, (size) => wanted(size, fraction));
  // A class whose groups are all larger than its share has nothing held out yet: take the smallest that may go.
  for (const label of classSizes.keys()) {
    const candidates = ordered
      .filter(({ counts }) => counts.has(label))
      .sort((a, b) => (a.counts.get(label) ?? 0) - (b.counts.get(label) ?? 0));
    for (const group of candidates) if (!held.has(label)) take(group, most);
  }

  const rows = labels.map((_, i) => i);
  return {
    train: rows.filter((i) => !isHeld.has(groups[i] ?? '')),
    validation: rows.filter((i) => isHeld.has(groups[i] ?? '')),
  };
}

/** Rows that stay together, and how many of them each class has. */
interface LabelledGroup {
  name: string;
  counts: Map<string, number>;
}

/** The groups, in the order of their names' sha256. */
function groupRows(labels: readonly string[], groups: readonly string[]): LabelledGroup[] {
  const labelsOf = new Map<string, string[]>();
  groups.forEach((name, i) => {
    const members = labelsOf.get(name) ?? [];
    members.push(labels[i] ?? '');
    labelsOf.set(name, members);
  });
  return [...labelsOf]
    .map(([name, members]) => ({ name, counts: countLabels(members), key: sha256Of(name) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

function wanted(classSize: number, fraction: number): number {
  return Math.min(most(classSize), Math.round(fraction * classSize));
}

function most(classSize: number): number {
  return Math.max(0, classSize - LEAST_IN_TRAINING);
}

function countLabels(labels: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return counts;
}

/** The fold of a row that is always trained on and never judged. */
export const NEVER_HELD = -1;

interface FoldOptions {
  /** Each row's class, 0 … N − 1; −1 for rows that take no part; [M]. */
  classes: Int32Array;
  /** N */
  count: number;
  /** What each row belongs to; rows of one group stay in one fold; [M]. */
  groups: readonly string[];
  /** How many folds, 2 or more; by default {@link defaultFolds}. */
  folds?: number | undefined;
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
  for (const c of classes) if (c >= 0) totals[c]!++;
  const filled = Array.from({ length: folds }, () => new Float64Array(count));
  const sizes = new Float64Array(folds);
  const foldOf = new Int32Array(classes.length).fill(NEVER_HELD);
  for (const { rows } of members) {
    const cost = (fold: Float64Array): number =>
      sum(rows, (row) => fold[classes[row]!]! / totals[classes[row]!]!);
    let [best, least] = [0, Infinity];
    filled.forEach((fold, k) => {
      const found = cost(fold);
      if (found < least || (found === least && sizes[k]! < sizes[best]!)) [best, least] = [k, found];
    });
    for (const row of rows) {
      foldOf[row] = best;
      const fold = filled[best];
      if (fold) fold[classes[row]!]!++;
    }
    sizes[best]! += rows.length;
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
    .map(([name, rows]) => ({ rows, key: sha256Of(name) }))
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
    const own = rows.map((row) => classes[row]!).filter((c) => lonely.has(c));
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

/**
 * What has to stay together: rows that share an id or a group, directly or through others, so that neither equal
 * pictures nor pictures of one subject end up on both sides of a split.
 * @param ids each row's id, such as the sha256 of its picture; [M]
 * @param groups each row's group, such as the subject of its picture; undefined where it has none; [M]
 * @returns the name of each row's set; the same name means the same set, and it does not depend on the order of rows; [M]
 */
export function joinGroups(
  ids: readonly string[],
  groups: readonly (string | undefined)[],
): readonly string[] {
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
  return ids.map((id, row) => nameOf.get(sets.rootOf(row)) ?? id);
}

/** What rows are dealt by, so that each part of them has its share of everything. */
interface Strata {
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
  for (const c of taking) for (const fact of factsOf[c] ?? []) sizes[fact]!++;
  const rarest = factsOf.map((facts) =>
    facts.reduce((best, fact) => (sizes[fact]! < sizes[best]! ? fact : best)),
  );
  return { of: taking.map((c) => rarest[c] ?? -1), count: 2 * names.length };
}

/**
 * The rows in an order that depends on nothing but what they belong to: that of the sha256 of their groups.
 * @param groups [M]
 */
export function shuffledRows(groups: readonly string[]): Int32Array {
  const keys = groups.map((group) => sha256Of(group));
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
  { share, least = 1 }: { share: number; least?: number | undefined },
): Part {
  const sizes = new Float64Array(count);
  const isIn = (row: number): boolean => classes[row]! >= 0 && part(row);
  for (const row of order) if (isIn(row)) sizes[classes[row]!]!++;
  const wanted = sizes.map((size) => Math.max(least, Math.ceil(share * size)));
  const chosen = new Uint8Array(order.length);
  for (const row of order) {
    const c = classes[row]!;
    if (!isIn(row) || wanted[c]! === 0) continue;
    chosen[row] = 1;
    wanted[c]! -= 1;
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
  return () => blocksOf(features, width, (i) => numbers[i]!);
}
