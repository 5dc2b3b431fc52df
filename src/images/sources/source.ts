/**
 * Where the bytes of a picture are that is no file of its own. Plain data, so that a queue can carry it to another machine; the
 * picture's `path` is then a name for it alone.
 */
export type PictureSource =
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
