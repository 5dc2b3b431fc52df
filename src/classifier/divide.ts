import {
  encodeLabels,
  encodeLabelSets,
  holdOut,
  joinGroups,
  strataOf,
  type LabelSets,
  type Part,
} from '../head/index.js';
import type { StoredEmbeddings } from './stored-embeddings.js';

/** Which rows are learnt from and which are judged. */
export interface Division {
  /** The classes, or labels, of the rows that are learnt from. */
  names: string[];
  /** Each row's class, −1 where none of those that are learnt from has it, or its set; [M]. */
  classes: Int32Array;
  /** Where rows have any number of labels. */
  sets?: LabelSets;
  train: Part;
  validation: Part;
  from: 'validation split' | 'held-out part' | 'cross-validation' | 'nothing';
  /** What each row belongs to; [M]. */
  groups: readonly string[];
}

/**
 * Pictures of the training split and those without a split are learnt from, unless a part of them is held out.
 * @throws {LastlayerError} where the labels are not enough to learn from; see `encodeLabels` and `encodeLabelSets`
 */
export function divide(
  { splits, labels, labelSets, contents, groups: ownGroups, record }: StoredEmbeddings,
  { holdOut: fraction = 0, onNotice }: { holdOut?: number; onNotice?: (line: string) => void },
): Division {
  const groups = joinGroups(contents, ownGroups);
  const held = new Uint8Array(labels.length);
  let from: Division['from'] = 'nothing';
  if (splits.includes('val')) {
    from = 'validation split';
    if (fraction !== 0) {
      onNotice?.(`${record.dataset} has a validation split, which is judged on; nothing more is held out.`);
    }
    splits.forEach((split, row) => {
      if (split === 'val') held[row] = 1;
    });
  } else if (fraction !== 0) {
    from = 'held-out part';
    const rows = [...splits.keys()].filter((row) => splits[row] !== 'test');
    const parts = labelSets ? strataNames(labelSets, (row) => splits[row] !== 'test') : labels;
    const { validation } = holdOut({
      labels: rows.map((row) => parts[row] ?? ''),
      ids: rows.map((row) => contents[row] ?? ''),
      groups: rows.map((row) => groups[row] ?? ''),
      fraction,
    });
    for (const i of validation) held[rows[i] ?? 0] = 1;
  }
  const validation: Part = (row) => held[row] === 1;
  const train: Part = (row) => held[row] !== 1 && splits[row] !== 'test';
  const encoded = labelSets ? encodeLabelSets(labelSets, train) : encodeClasses(labels, train);

  const learnt = new Set(groups.filter((_, row) => train(row)));
  const straddling = groups.filter((group, row) => validation(row) && learnt.has(group)).length;
  if (straddling > 0) {
    onNotice?.(
      `${straddling} validation pictures of ${record.dataset} equal a training picture, or are of a group that is in ` +
        `training too: what is measured on them is too good.`,
    );
  }
  return { ...encoded, train, validation, from, groups };
}

function encodeClasses(labels: readonly string[], train: Part) {
  const { names } = encodeLabels(labels.filter((_, row) => train(row)));
  const numbers = new Map(names.map((name, n) => [name, n]));
  return { names, classes: Int32Array.from(labels, (label) => numbers.get(label) ?? -1) };
}

/** Names of what each row is held out by, where it has any number of labels. */
function strataNames(labelSets: readonly (readonly string[])[], isIn: Part): string[] {
  return Array.from(strataOf(encodeLabelSets(labelSets, isIn), isIn).of, String);
}
