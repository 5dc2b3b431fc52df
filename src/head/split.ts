import { createHash } from 'node:crypto';
import { LastlayerError, UsageError } from '../errors.js';

/** Class examples that a hold-out never goes below in training: one would not do to learn from. */
const LEAST_IN_TRAINING = 2;

export interface HoldOutOptions {
  /** The label of each row. */
  labels: readonly string[];
  /** What each row is known by wherever it lies, such as the sha256 of its picture; rows with equal ids stay together. */
  ids: readonly string[];
  /** What else has to stay together, such as the subject of a picture; takes the place of the ids. */
  groups?: readonly string[];
  /** The part of each class to hold out, between 0 and 1; default 0.2. */
  fraction?: number;
}

/** Row numbers, in ascending order. */
export interface HoldOut {
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
  if (!(fraction > 0 && fraction < 1)) {
    throw new UsageError(`The part to hold out is ${fraction}; it must be between 0 and 1, such as 0.2.`);
  }
  const classSizes = countLabels(labels);
  const held = new Map<string, number>();
  const isHeld = new Set<string>();

  const take = (group: Group, limit: (size: number) => number): void => {
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
interface Group {
  name: string;
  counts: Map<string, number>;
}

/** The groups, in the order of their names' sha256. */
function groupRows(labels: readonly string[], groups: readonly string[]): Group[] {
  const labelsOf = new Map<string, string[]>();
  groups.forEach((name, i) => {
    const members = labelsOf.get(name) ?? [];
    members.push(labels[i] ?? '');
    labelsOf.set(name, members);
  });
  return [...labelsOf]
    .map(([name, members]) => ({ name, counts: countLabels(members), key: sha256(name) }))
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

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
