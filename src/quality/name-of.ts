import { dirname, isAbsolute, relative, sep } from 'node:path';

/** A picture's path as it is shown: from the data set's folder or, of a manifest, the folder that this is in; in full where it lies elsewhere. */
export function nameOf(dataset: string, path: string): string {
  const folder = /\.(csv|jsonl|ndjson)$/i.test(dataset) ? dirname(dataset) : dataset;
  const name = relative(folder, path);
  return name === '..' || name.startsWith(`..${sep}`) || isAbsolute(name) ? path : name;
}
