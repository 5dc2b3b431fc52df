import type { Dirent } from 'node:fs';
import { access, lstat, opendir, readdir, realpath, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { codeOf, LastlayerError, messageOf } from '../util/errors.js';
import { type Dataset, type DatasetEntry, type SkippedFiles, type Split, splitNamed } from './dataset.js';

/** Endings that are taken for pictures; what a file really holds is found out when it is decoded. */
const PICTURE_ENDINGS = new Set(
  '.jpg .jpeg .jpe .jfif .png .webp .gif .tif .tiff .avif .heic .heif .svg .bmp .jp2 .jxl .ppm .pgm'.split(
    ' ',
  ),
);

const MAX_EXAMPLES = 5;

/**
 * Reads a folder as torchvision's ImageFolder does, or simply as a heap of pictures:
 * `train|val|test/class/…`, `class/…`, or a flat folder without labels. Below a class, folders are walked to any depth
 * and links are followed, a linked folder once; hidden files and folders are passed over. A folder that cannot be listed, and
 * what has a name that is not UTF-8, is an entry with a problem.
 * @throws {LastlayerError} where the folder cannot be read or holds nothing
 */
export async function openFolder(root: string): Promise<Dataset> {
  const folders = await visibleFolders(root).catch((error: unknown) => {
    throw new LastlayerError(`The folder ${root} cannot be listed: ${messageOf(error)}.`);
  });
  const splits = folders.filter((name) => splitNamed(name));
  const isSplit = splits.length > 0;
  const other = folders.filter((name) => !splitNamed(name));
  if (isSplit && other.length > 0) {
    throw new LastlayerError(
      `${root} holds split folders (${splits.join(', ')}) beside others (${other.slice(0, 3).join(', ')}), so it is not ` +
        `clear which folders are classes. Keep either train, val and test, or one folder a class.`,
    );
  }
  const skipped: SkippedFiles = { count: 0, examples: [] };
  const problems = new Set<string>();
  return {
    root,
    layout: isSplit
      ? 'train/val/test folders'
      : folders.length > 0
        ? 'one folder a class'
        : 'flat folder, no labels',
    skipped,
    contains: async (path) => problems.has(path) || !(await isGone(path)),
    entries: async function* () {
      skipped.count = skipped.examples.length = 0;
      problems.clear();
      const entries = isSplit
        ? entriesOfSplits(root, splits, skipped)
        : entriesOfClasses(root, undefined, skipped);
      for await (const entry of entries) {
        if (entry.problem !== undefined) problems.add(entry.path);
        yield entry;
      }
    },
  };
}

/** Whether there is no such file; one that cannot be seen for another reason, such as a lack of rights, is not gone. */
async function isGone(path: string): Promise<boolean> {
  try {
    await access(path);
    return false;
  } catch (error) {
    return ['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? '');
  }
}

async function* entriesOfSplits(
  root: string,
  splits: string[],
  skipped: SkippedFiles,
): AsyncGenerator<DatasetEntry> {
  for (const name of splits) yield* entriesOfClasses(join(root, name), splitNamed(name), skipped);
  // Pictures beside the split folders belong to no split and have no label, but they are not lost.
  yield* picturesIn(root, {}, skipped);
}

async function* entriesOfClasses(
  folder: string,
  split: Split | undefined,
  skipped: SkippedFiles,
): AsyncGenerator<DatasetEntry> {
  const inSplit = split ? { split } : {};
  // Why a folder cannot be listed is told once, by what comes last.
  for (const label of await visibleFolders(folder).catch(() => [])) {
    yield* picturesBelow(join(folder, label), { ...inSplit, label }, skipped);
  }
  yield* picturesIn(folder, inSplit, skipped);
}

/** Walks with a list of folders still to visit, not by recursion, so that no depth is too deep. */
async function* picturesBelow(
  folder: string,
  common: Omit<DatasetEntry, 'path'>,
  skipped: SkippedFiles,
): AsyncGenerator<DatasetEntry> {
  const pending = [folder];
  const linked = new Set([await realpath(folder).catch(() => folder)]);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    yield* picturesIn(next, common, skipped, async (entry, path) => {
      if (entry.isDirectory() || (await isNewLinkedFolder(path, linked))) pending.push(path);
    });
  }
}

/** The pictures right in a folder. @param onFolder told of the folders in it, and of links to such */
async function* picturesIn(
  folder: string,
  common: Omit<DatasetEntry, 'path'>,
  skipped: SkippedFiles,
  onFolder?: (entry: Dirent, path: string) => Promise<void>,
): AsyncGenerator<DatasetEntry> {
  let isTextAlone = true;
  try {
    for await (const entry of await opendir(folder)) {
      const path = join(folder, entry.name);
      if (entry.name.startsWith('.')) continue;
      if (await isNoText(entry.name, path)) isTextAlone = false;
      else if (await isFolder(entry, path)) await onFolder?.(entry, path);
      else if (isPicture(path, skipped)) yield { path, ...common };
    }
    if (isTextAlone) return;
    for (const { name, isDirectory } of await namesThatAreNoText(folder)) {
      const path = join(folder, name);
      if (isDirectory || isPicture(path, skipped)) yield { path, ...common, problem: NO_TEXT };
    }
  } catch (error) {
    yield { path: folder, ...common, problem: `the folder cannot be listed: ${messageOf(error)}` };
  }
}

/** Whether a link to a folder leads to one that was not walked yet, so that links in a circle come to an end. */
async function isNewLinkedFolder(path: string, linked: Set<string>): Promise<boolean> {
  const target = await realpath(path);
  return linked.size < linked.add(target).size;
}

async function isFolder(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  const target = await stat(path).catch(() => undefined);
  return target?.isDirectory() ?? false;
}

/** Whether a file is a picture by its ending; counts it where not. */
export function isPicture(path: string, skipped: SkippedFiles): boolean {
  const is = PICTURE_ENDINGS.has(extname(path).toLowerCase());
  if (!is) skip(skipped, path);
  return is;
}

function skip(skipped: SkippedFiles, path: string): void {
  skipped.count++;
  if (skipped.examples.length < MAX_EXAMPLES) skipped.examples.push(path);
}

async function visibleFolders(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of await opendir(folder)) {
    const path = join(folder, entry.name);
    if (entry.name.startsWith('.') || (await isNoText(entry.name, path))) continue;
    if (await isFolder(entry, path)) names.push(entry.name);
  }
  return names.sort();
}

/** Why a file is not read of which the name's bytes are no UTF-8, as it can be where other systems wrote it. */
const NO_TEXT = 'its name is not valid UTF-8, so it cannot be kept in the store; rename it';

/** Node's sign for bytes that are no UTF-8. */
const REPLACEMENT = '\ufffd';

/** Whether a name is none that leads to its file. (The sign itself may be in a name, too.) */
async function isNoText(name: string, path: string): Promise<boolean> {
  if (!name.includes(REPLACEMENT)) return false;
  return lstat(path).then(
    () => false,
    () => true,
  );
}

/** The names in a folder that are no UTF-8, with all bytes beyond ASCII as `\xff`, so that each is told from the others. */
async function namesThatAreNoText(folder: string): Promise<{ name: string; isDirectory: boolean }[]> {
  const entries = await readdir(folder, { withFileTypes: true, encoding: 'buffer' });
  return entries
    .filter(({ name }) => name[0] !== 0x2e && !Buffer.from(name.toString()).equals(name))
    .map((entry) => ({
      name: entry.name
        .toString('latin1')
        .replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`),
      isDirectory: entry.isDirectory(),
    }));
}
