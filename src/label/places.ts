import { basename, dirname, extname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { UsageError } from '../util/errors.js';

/** The files of a session. They lie beside the data set, never in it. */
export interface Places {
  manifest: string;
  journal: string;
}

/**
 * Where a session over a data set keeps its files: `photos.labels.csv` and `photos.labels.jsonl` beside `photos`.
 * @param dataset absolute path
 * @param out another manifest; the journal lies beside it
 * @throws {UsageError} if the manifest is not a .csv, or it or its journal is the data set itself or would lie in it
 */
export function placesOf(dataset: string, out?: string): Places {
  const stem = join(dirname(dataset), stemOf(dataset));
  const manifest = out === undefined ? `${stem}.labels.csv` : resolve(out);
  if (extname(manifest).toLowerCase() !== '.csv') {
    throw new UsageError(`--out is ${manifest}. The manifest is written as CSV; name a file that ends in .csv.`);
  }
  if (manifest === dataset) {
    throw new UsageError(
      `--out is ${manifest}, which is the data set itself, and is never changed. Name another file.`,
    );
  }
  if (isBelow(manifest, dataset)) {
    throw new UsageError(`--out is ${manifest}, in the data set's own folder. Name a file outside of it.`);
  }
  const journal = journalOf(manifest);
  if (journal === dataset) {
    throw new UsageError(
      `--out is ${manifest}, whose journal would be ${journal}, the data set itself. Name another file.`,
    );
  }
  return { manifest, journal };
}

/** The journal of a manifest. */
export function journalOf(manifest: string): string {
  return `${manifest.slice(0, -extname(manifest).length)}.jsonl`;
}

/** A manifest's name without its ending, or a folder's. */
export function stemOf(dataset: string): string {
  const name = basename(dataset);
  return /\.(csv|tsv|jsonl|ndjson)$/i.test(name) ? name.slice(0, -extname(name).length) : name;
}

/** Whether a path lies in a folder. */
export function isBelow(path: string, folder: string): boolean {
  return isInside(relative(folder, path));
}

function isInside(path: string): boolean {
  return path !== '' && path !== '..' && !path.startsWith(`..${sep}`) && !isAbsolute(path);
}

/** Whether a picture lies on a server. */
export function isAddress(path: string): boolean {
  return /^https?:\/\//i.test(path);
}

/**
 * A picture's path as the files of the session have it: relative to their folder if it lies below, with `/` on every system, so that
 * folder and files can be moved together.
 */
export function pathBeside(path: string, folder: string): string {
  if (isAddress(path)) return path;
  const inside = relative(folder, path);
  return isInside(inside) ? inside.replaceAll(sep, '/') : path;
}

/** The other way round. */
export function pathFrom(written: string, folder: string): string {
  return isAddress(written) ? written : resolve(folder, written);
}
