import type { DatasetEntry, PictureState } from '../data/dataset.js';
import type { Fingerprint } from '../image/fingerprint.js';

/** One view of one picture of a data set. `path`, `dataset` and `view` are the key. */
export interface EmbeddingRow {
  /** Absolute path of the file. */
  path: string;
  /** Absolute path of the folder or manifest that lists the picture. */
  dataset: string;
  label: string | null;
  /** A JSON list of all labels, if the data set has lists of them. */
  labels: string | null;
  split: string | null;
  /** Pictures of one group stay on one side of every split. */
  group: string | null;
  /** In training, above 0; null for 1. */
  weight: number | null;
  /** Of the file's bytes; null if they could not be read. */
  sha256: string | null;
  /** Bytes; null if there was no file. */
  size: number | null;
  /** Time of the last change, in milliseconds since 1970; null if there was no file. */
  modified: number | null;
  /** `center` is the transform's own crop; all others are augmented views. */
  view: string;
  /** Pixels, upright; null if the picture could not be decoded. */
  width: number | null;
  height: number | null;
  /** [feature width]; null if there is an error. */
  embedding: Float32Array | null;
  /** See `fingerprintOf`; null if there is an error, and for augmented views. */
  fingerprint: Fingerprint | null;
  model_id: string;
  transform_id: string;
  /** Why there is no embedding. */
  error: string | null;
}

/** A row that says nothing. */
export const EMPTY_ROW: Readonly<EmbeddingRow> = {
  path: '',
  dataset: '',
  label: null,
  labels: null,
  split: null,
  group: null,
  weight: null,
  sha256: null,
  size: null,
  modified: null,
  view: 'center',
  width: null,
  height: null,
  embedding: null,
  fingerprint: null,
  model_id: '',
  transform_id: '',
  error: null,
};

/** A row without what is large. */
export type KnownRow = Omit<EmbeddingRow, 'embedding' | 'fingerprint'>;

/** Where pictures are looked up and their rows are put. */
export interface RowStore<Row extends KnownRow = KnownRow> {
  /**
   * The rows of these files by path, the center view first, then augmented views of the same bytes. If the given data set has
   * no row of a file, those of another data set. Files without a row are left out.
   */
  known(paths: readonly string[], dataset: string): Promise<Map<string, [Row, ...Row[]]>>;
  /** Those of the given file sizes that files with a digest have. */
  knownSizes(sizes: readonly number[]): Promise<Set<number>>;
  /** A row, embedding included, of each view that is known of a file with this digest. */
  withContent(sha256: string): Promise<EmbeddingRow[]>;
  /** Replaces the row with the same key. */
  put(row: EmbeddingRow): Promise<void>;
}

/** A picture of a data set, and its file as it is on disk, if there is one. */
export interface RowSubject extends PictureState {
  entry: DatasetEntry;
}

/** The row of a picture. @param found what was found out about it */
export function rowOf(
  { entry, size, modified }: RowSubject,
  dataset: string,
  { id, transformId }: { id: string; transformId: string },
  found: Partial<EmbeddingRow>,
): EmbeddingRow {
  return {
    ...EMPTY_ROW,
    path: entry.path,
    dataset,
    ...listedAs(entry),
    size,
    modified,
    model_id: id,
    transform_id: transformId,
    ...found,
  };
}

/** What a data set says of a picture, as rows keep it. */
export function listedAs({ label, labels, split, group, weight }: DatasetEntry) {
  return {
    label: label ?? null,
    labels: labels ? JSON.stringify(labels) : null,
    split: split ?? null,
    group: group ?? null,
    weight: weight ?? null,
  };
}

/** The list in the column `labels`; empty if there is none. */
export function labelsIn(text: string | null): readonly string[] {
  return text === null ? [] : (JSON.parse(text) as string[]);
}
