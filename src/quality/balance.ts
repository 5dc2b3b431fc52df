import type { Split } from '../images/index.js';
import type { Pictures } from './pictures.js';

/** The largest class has so many times the pictures of the smallest, or more. */
const UNBALANCED = 10;

/** A class of fewer is hard to learn, and cannot be judged. */
const FEW = 10;

/** How many pictures a class, or a label, has. */
export interface ClassCount {
  label: string;
  count: number;
  /** Those without a split under `none`. */
  splits: Partial<Record<Split | 'none', number>>;
}

/** Pictures of each label, the most frequent first. */
export function countClasses({ rows }: Pictures): ClassCount[] {
  const counts = new Map<string, ClassCount>();
  for (const { label: one, labels = one === undefined ? [] : [one], split = 'none' } of rows) {
    for (const label of labels) {
      const found = counts.get(label) ?? { label, count: 0, splits: {} };
      found.count++;
      found.splits[split] = (found.splits[split] ?? 0) + 1;
      counts.set(label, found);
    }
  }
  return [...counts.values()].sort((a, b) => b.count - a.count || (a.label < b.label ? -1 : 1));
}

/** What is wrong with the numbers of pictures, a sentence each. @param hasLists of labels, among which imbalance is usual */
export function balanceWarnings(classes: readonly ClassCount[], hasLists: boolean): string[] {
  const [largest, smallest] = [classes[0], classes.at(-1)];
  if (!largest || !smallest) return [];
  const warnings: string[] = [];
  const ratio = largest.count / smallest.count;
  if (ratio >= UNBALANCED && !hasLists) {
    warnings.push(
      `The classes are unbalanced: ${largest.label} has ${largest.count} pictures, ${Math.round(ratio)} times as many as ` +
        `${smallest.label}. Train with --class-weights balanced, or add pictures.`,
    );
  }
  const few = classes.filter(({ count }) => count < FEW);
  if (few.length > 0) warnings.push(`Fewer than ${FEW} pictures: ${named(few)}.`);
  const unlearnt = classes.filter(({ splits }) => !splits.train && !splits.none);
  if (unlearnt.length > 0) warnings.push(`In no training split, so never learnt: ${named(unlearnt)}.`);
  return warnings;
}

function named(classes: readonly ClassCount[]): string {
  const shown = classes.slice(0, 10).map(({ label, count }) => `${label} (${count})`);
  return shown.join(', ') + (classes.length > 10 ? ` and ${classes.length - 10} more` : '');
}
