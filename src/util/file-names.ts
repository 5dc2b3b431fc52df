import { dirname, isAbsolute, relative, sep } from 'node:path';

/** Characters that Windows, macOS or Linux do not take in names, and those that cannot be seen. */
const REFUSED = /[<>:"/\\|?*\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/gu;

/** Names of devices, which Windows takes for no file. */
const DEVICE = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/** Bytes. File systems take up to 255, and a number may follow. */
const LONGEST = 200;

/** A text as the name of a folder that every system takes, and that is not hidden. */
export function safeName(text: string): string {
  let name = text.replace(REFUSED, '_');
  while (Buffer.byteLength(name) > LONGEST) name = name.replace(/.$/su, '');
  // Windows drops dots and spaces at the end.
  name = name.replace(/^[\s.]+|[\s.]+$/g, (ends) => '_'.repeat(ends.length));
  return name === '' || DEVICE.test(name) ? `_${name}` : name;
}

/**
 * {@link safeName} for several texts, so that no two have the same name, not even but for case.
 * @param taken names that stand for something else
 */
export function safeNames(texts: Iterable<string>, taken: readonly string[] = []): Map<string, string> {
  const used = new Set(taken.map((name) => name.toLowerCase()));
  const names = new Map<string, string>();
  for (const text of new Set(texts)) {
    const safe = safeName(text);
    let name = safe;
    for (let n = 2; used.has(name.toLowerCase()); n++) name = numbered(safe, n);
    used.add(name.toLowerCase());
    names.set(text, name);
  }
  return names;
}

/** The name that `a` gets when it is taken: `a (2)`. @param ending to keep at the end */
export function numbered(stem: string, n: number, ending = ''): string {
  return n === 1 ? stem + ending : `${stem} (${n})${ending}`;
}

/** A picture's path as it is shown: relative to the data set's folder, or to that of its manifest; in full if it is elsewhere. */
export function nameOf(dataset: string, path: string): string {
  const folder = /\.(csv|tsv|jsonl|ndjson)$/i.test(dataset) ? dirname(dataset) : dataset;
  const name = relative(folder, path);
  return name === '..' || name.startsWith(`..${sep}`) || isAbsolute(name) ? path : name;
}
