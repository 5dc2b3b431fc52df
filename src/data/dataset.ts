/** The parts of a data set: to train on, to choose by, to judge by. */
export const SPLITS = ['train', 'val', 'test'] as const;
export type Split = (typeof SPLITS)[number];

/** One picture of a data set. */
export interface DatasetEntry {
  /** Absolute path of the file; of a picture that is no file of its own, its name, which no other picture has. */
  path: string;
  /** Where it is, where it is no file of its own. */
  source?: PictureSource | undefined;
  label?: string | undefined;
  /** All that the picture shows, of several labels that do not rule each other out; distinct, in code unit order. */
  labels?: readonly string[] | undefined;
  split?: Split | undefined;
  /** What the picture shares with others that must stay on its side of a split, such as the subject. */
  group?: string | undefined;
  /** How much the picture counts in training, above 0; 1 where it is absent. */
  weight?: number | undefined;
  /** Why there is no picture to read: of a folder that cannot be listed, or a name that is no text. */
  problem?: string | undefined;
}

/** A data set as it was found; its pictures are listed one by one, anew by every call, and never held together. */
export interface Dataset {
  /** Absolute path of the folder or manifest. */
  root: string;
  /** What it was taken for, e.g. `folder of split folders of class folders`. */
  layout: string;
  entries(): AsyncIterable<DatasetEntry>;
  /** Whether a file that was listed earlier still is. */
  contains(path: string): Promise<boolean>;
  /** Files that are no pictures by their ending, so far as `entries` has come: how many, and the first few. */
  skipped: SkippedFiles;
}

export interface SkippedFiles {
  count: number;
  examples: string[];
}

const SPLIT_NAMES = new Map<string, Split>([
  ['train', 'train'],
  ['training', 'train'],
  ['val', 'val'],
  ['valid', 'val'],
  ['validation', 'val'],
  ['test', 'test'],
]);

/** The split that a folder or a manifest names, whatever the case; undefined where the name is none of a split. */
export function splitNamed(name: string): Split | undefined {
  return SPLIT_NAMES.get(name.trim().toLowerCase());
}

/**
 * Where the bytes of a picture are that is no file of its own. Plain data, so that a queue can carry it to another machine; the
 * picture's `path` is then a name for it alone.
 */
type PictureSource =
  /** A stretch of a file, such as a member of a .tar. Absolute path; bytes. */
  | { kind: 'part'; file: string; offset: number; size: number }
  /** A cell of a Parquet file, by its row from 0 on. */
  | { kind: 'parquet'; file: string; column: string; row: number }
  /** A cell of a Lance table, by its row from 0 on. */
  | { kind: 'lance'; table: string; column: string; row: number }
  /** http or https. */
  | { kind: 'url'; url: string };

/** What tells whether a picture has changed. */
export interface PictureState {
  /** Bytes of the picture; null where only reading it tells. */
  size: number | null;
  /** Time of the last change of whatever holds it, in milliseconds since 1970; null where it is unknown. */
  modified: number | null;
}
