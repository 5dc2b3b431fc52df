import { firstOf, quantity } from '../util/format.js';
import { grouped } from '../util/grouped.js';

/** The standard splits of a data set: to train on, to tune on, to evaluate on. */
export const SPLITS = ['train', 'val', 'test'] as const;
export type Split = (typeof SPLITS)[number];

/** A data set. Its pictures are listed one by one and never held in memory together. */
export interface Dataset {
  /** Absolute path of the folder or file. */
  root: string;
  /** What kind of data set it is, e.g. `one folder a class`. */
  layout: string;
  /** Lists the pictures anew on every call. */
  entries(): AsyncIterable<DatasetEntry>;
  /** Whether a picture that was listed earlier is still there. */
  contains(path: string): Promise<boolean>;
  /** Files that the latest `entries` passed over because their names do not end like a picture's. */
  skipped: SkippedFiles;
}

export interface SkippedFiles {
  count: number;
  /** The first few. */
  examples: string[];
  /** What else was passed over: folders of operating systems, class folders without pictures, columns that are not read; labels that look alike. */
  remarks: string[];
}

const MOST_REMARKS = 20;

/** Notes what else was passed over, up to a number that one reads. */
export function remark({ remarks }: SkippedFiles, text: string): void {
  if (remarks.length < MOST_REMARKS) remarks.push(text);
  else if (remarks.length === MOST_REMARKS) remarks.push('… and more of the kind.');
}

/** Tells of files that were passed over. @param shown how to show a file's name */
export function passedOver({ count, examples }: SkippedFiles, shown = (name: string): string => name): string {
  return `Files skipped, as their names do not end like a picture's: ${count}, such as ${firstOf(examples.map(shown), 3)}`;
}

export function nothingSkipped(): SkippedFiles {
  return { count: 0, examples: [], remarks: [] };
}

/** Before everything is listed anew. */
export function forgetSkipped(skipped: SkippedFiles): void {
  skipped.count = skipped.examples.length = skipped.remarks.length = 0;
}

/** One picture of a data set. */
export interface DatasetEntry {
  /** Absolute path of the file; for a picture without a file of its own, a unique name. */
  path: string;
  /** Where to find the bytes of a picture without a file of its own. */
  source?: PictureSource | undefined;
  label?: string | undefined;
  /** The picture's labels if it can have any number of them: distinct, in code unit order. */
  labels?: readonly string[] | undefined;
  split?: Split | undefined;
  /** Pictures of one group, such as one subject, stay on one side of every split. */
  group?: string | undefined;
  /** How much the picture counts in training, above 0. @default 1 */
  weight?: number | undefined;
  /** Why there is nothing to read: a folder that cannot be listed, or a file name that is not UTF-8. */
  problem?: string | undefined;
}

/** Where the bytes of a picture are. Plain data, so that a queue can carry it to another machine. */
export type PictureSource =
  /** A range of bytes of a file, such as a member of a .tar. */
  | { kind: 'part'; file: string; offset: number; size: number }
  /** A cell of a Parquet file; rows count from 0. */
  | { kind: 'parquet'; file: string; column: string; row: number }
  /** A cell of a Lance table; rows count from 0. */
  | { kind: 'lance'; table: string; column: string; row: number }
  /** http or https. */
  | { kind: 'url'; url: string };

/** Tells whether a picture has changed. */
export interface PictureState {
  /** Bytes; null if only reading the picture tells. */
  size: number | null;
  /** When the file that holds it was last changed, in milliseconds since 1970; null if unknown. */
  modified: number | null;
}

const SPLIT_NAMES = new Map<string, Split>([
  ['train', 'train'],
  ['training', 'train'],
  ['val', 'val'],
  ['valid', 'val'],
  ['validation', 'val'],
  ['test', 'test'],
]);

/** Names that mean a split but are written differently, such as test_set, seg_train, Testing, dev, eval. */
const LIKE_SPLITS =
  /^(\w+[_-])?(?:train(?:ing)?|test(?:ing)?|val(?:id(?:ation)?)?|dev|eval(?:uation)?)(?:[_-]?(?:set|data|images|imgs|split|folder))?$/i;

/** Whether a folder's name reads like a split; `perhaps` if something stands before it, as in seg_train and steam-train. */
export function readsLikeSplit(name: string): 'yes' | 'perhaps' | 'no' {
  const match = LIKE_SPLITS.exec(name.trim());
  if (!match) return 'no';
  return match[1] === undefined ? 'yes' : 'perhaps';
}

/** The split that a folder or a manifest names, in any case; undefined for any other name. */
export function splitNamed(name: string): Split | undefined {
  return SPLIT_NAMES.get(name.trim().toLowerCase());
}

/**
 * A label's text, however a data set has it: without spaces around it, and in the one form that Unicode has for it, so that an
 * accented letter as one character and as two are the same label. Of a number and of true or false, what JSON writes.
 * @returns undefined if it is null, empty or of another kind
 */
export function labelText(value: unknown): string | undefined {
  if (typeof value === 'string') return value.trim().normalize() || undefined;
  return ['number', 'bigint', 'boolean'].includes(typeof value) ? String(value) : undefined;
}

/** Has a data set tell, once all its pictures are listed, which labels differ only in case, spaces or letter forms. */
export function tellingTwins(dataset: Dataset): Dataset {
  return {
    ...dataset,
    entries: async function* () {
      const counts = new Map<string, number>();
      for await (const entry of dataset.entries()) {
        for (const label of entry.labels ?? [entry.label]) {
          if (label !== undefined) counts.set(label, (counts.get(label) ?? 0) + 1);
        }
        yield entry;
      }
      for (const twins of twinsAmong(counts.keys())) {
        const names = twins
          .map((label) => `${visible(label)} (${quantity(counts.get(label)!, 'picture')})`)
          .join(' and ');
        remark(
          dataset.skipped,
          `The labels ${names} differ only in case, spaces or letter forms, but count as ${twins.length} classes. If they are ` +
            'one class, give them one name.',
        );
      }
    },
  };
}

/** A label in quotes, its spaces of other kinds by their number. */
function visible(label: string): string {
  const numbered = (space: string) => `\\u${space.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(label).replace(/[^\S ]/g, numbered);
}

function twinsAmong(labels: Iterable<string>): string[][] {
  const byLook = grouped(labels, (label) => label.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim());
  return [...byLook.values()].filter((alike) => alike.length > 1).map((alike) => alike.sort());
}

/** A data set that is kept in files which list their pictures. @param list counts in `skipped` the files that are not pictures */
export function listedDataset(
  root: string,
  layout: string,
  list: (skipped: SkippedFiles) => AsyncIterable<DatasetEntry>,
): Dataset {
  const skipped = nothingSkipped();
  let paths: Promise<Set<string>> | undefined;
  return {
    root,
    layout,
    skipped,
    entries: () => {
      forgetSkipped(skipped);
      return list(skipped);
    },
    contains: async (path) => (await (paths ??= pathsOf(list(nothingSkipped())))).has(path),
  };
}

async function pathsOf(entries: AsyncIterable<DatasetEntry>): Promise<Set<string>> {
  const paths = new Set<string>();
  for await (const { path } of entries) paths.add(path);
  return paths;
}
