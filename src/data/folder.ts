import type { Dirent } from 'node:fs';
import { lstat, opendir, readdir, realpath, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { LastlayerError, messageOf } from '../util/errors.js';
import { isGone } from '../util/files.js';
import { firstOf } from '../util/format.js';
import {
  type Dataset,
  type DatasetEntry,
  forgetSkipped,
  nothingSkipped,
  readsLikeSplit,
  remark,
  type SkippedFiles,
  splitNamed,
} from './dataset.js';

/**
 * Opens a folder of pictures: `train|val|test/class/…`, `class/…` as torchvision's ImageFolder reads it, or a flat folder
 * without labels. Class folders may be nested to any depth. Links are followed, but each linked folder is visited once. Hidden
 * files and folders, and those that operating systems and file servers make, are ignored. A folder that cannot be listed, or a
 * name that is not UTF-8, is listed as an entry with a problem.
 * @throws {LastlayerError} if the folder cannot be listed, or it is not clear which folders are splits and which are classes
 */
export async function openFolder(root: string): Promise<Dataset> {
  const folders = await visibleFolders(root).catch((error: unknown) => {
    throw new LastlayerError(`The folder ${root} cannot be listed: ${messageOf(error)}.`);
  });
  const splits = folders.filter((name) => splitNamed(name));
  const others = folders.filter((name) => !splitNamed(name));
  if (splits.length > 0 && others.length > 0) {
    throw new LastlayerError(
      `${root} holds split folders (${splits.join(', ')}) beside others (${others.slice(0, 3).join(', ')}), so it is unclear ` +
        `which folders are classes. Keep either train, val and test, or one folder a class.`,
    );
  }
  if (splits.length === 0) await checkClasses(root, folders);
  const skipped = nothingSkipped();
  const problems = new Set<string>();
  return {
    root,
    layout:
      splits.length > 0
        ? 'train/val/test folders'
        : folders.length > 0
          ? 'one folder a class'
          : 'flat folder, no labels',
    skipped,
    contains: async (path) => problems.has(path) || !(await isGone(path)),
    entries: async function* () {
      forgetSkipped(skipped);
      problems.clear();
      for await (const entry of entriesOf(root, splits, skipped)) {
        if (entry.problem !== undefined) problems.add(entry.path);
        yield entry;
      }
    },
  };
}

/**
 * @throws {LastlayerError} if the folders read like splits, or hold folders that are the classes
 */
async function checkClasses(root: string, folders: readonly string[]): Promise<void> {
  const inside = await Promise.all(folders.map((name) => contentOf(join(root, name))));
  const like = folders.map(readsLikeSplit);
  // A class may be steam-train; but one that holds no pictures itself is none.
  const isSplit = (answer: string, i: number) => answer === 'yes' || !inside[i]!.hasPictures;
  if (!like.includes('no') && like.some(isSplit)) {
    throw new LastlayerError(
      `${root} holds the folders ${firstOf(folders)}, which read like splits. Rename them to train, val and test, or pass one ` +
        'of them.',
    );
  }
  if (inside.length === 0 || inside.some(({ hasPictures }) => hasPictures)) return;
  const [first] = inside;
  const shared = first!.folders.filter((name) => inside.every((each) => each.folders.includes(name)));
  if (folders.length === 1 && first!.folders.length > 1) {
    throw new LastlayerError(
      `The only folder of ${root} is ${folders[0]!}, which holds ${firstOf(first!.folders)}. If those are the classes, pass ` +
        `${join(root, folders[0]!)}.`,
    );
  }
  if (folders.length > 1 && shared.length > 1) {
    throw new LastlayerError(
      `The folders of ${root}, ${firstOf(folders)}, all hold ${firstOf(shared)}, and no pictures themselves. If ` +
        `${firstOf(shared)} are the classes, rename the folders above them to train, val and test, or pass one of them.`,
    );
  }
}

/** Whether a folder holds pictures itself, and which folders it holds; nothing if it cannot be listed. */
async function contentOf(folder: string): Promise<{ hasPictures: boolean; folders: string[] }> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    const hasPictures = entries.some((entry) => !entry.isDirectory() && isPicture(entry.name, nothingSkipped()));
    return { hasPictures, folders: await visibleFolders(folder) };
  } catch {
    return { hasPictures: true, folders: [] };
  }
}

type Common = Omit<DatasetEntry, 'path'>;

async function* entriesOf(
  root: string,
  splits: readonly string[],
  skipped: SkippedFiles,
): AsyncGenerator<DatasetEntry> {
  if (splits.length === 0) {
    yield* picturesOfClasses(root, {}, skipped);
    return;
  }
  // Those of the system are told.
  await visibleFolders(root, skipped).catch(() => []);
  for (const name of splits) {
    yield* picturesOfClasses(join(root, name), { split: splitNamed(name) }, skipped);
  }
  // Pictures beside the split folders have neither split nor label.
  yield* picturesIn(root, {}, skipped);
}

async function* picturesOfClasses(folder: string, common: Common, skipped: SkippedFiles): AsyncGenerator<DatasetEntry> {
  // If the folder cannot be listed, picturesIn reports it.
  for (const name of await visibleFolders(folder, skipped).catch(() => [])) {
    let isEmpty = true;
    // macOS writes an accented letter as two characters, others as one: both are the same class.
    for await (const entry of picturesBelow(join(folder, name), { ...common, label: name.normalize() }, skipped)) {
      isEmpty = false;
      yield entry;
    }
    if (isEmpty) remark(skipped, `${join(folder, name)} holds no pictures, so it is no class.`);
  }
  yield* picturesIn(folder, common, skipped);
}

/** Folders that macOS, Windows, Linux and Synology make: of resource forks, thumbnails and deleted files. */
const SYSTEM_FOLDERS = new Set([
  '__macosx',
  '@eadir',
  '#recycle',
  '#snapshot',
  '$recycle.bin',
  'system volume information',
  'lost+found',
]);

/** Whether a folder was made by an operating system; if so, that is told. */
function isOfSystem(name: string, path: string, skipped: SkippedFiles): boolean {
  if (!SYSTEM_FOLDERS.has(name.toLowerCase())) return false;
  remark(skipped, `${path} is a folder of the system, so it was passed over.`);
  return true;
}

async function visibleFolders(folder: string, skipped = nothingSkipped()): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of await opendir(folder)) {
    const path = join(folder, entry.name);
    if (entry.name.startsWith('.') || (await isMangled(entry.name, path))) continue;
    if (isOfSystem(entry.name, path, skipped)) continue;
    if (await isFolder(entry, path)) names.push(entry.name);
  }
  return names.sort();
}

/**
 * The pictures in a folder and below it, in the order of the file system, whatever the names of the folders mean. What is ignored and
 * how problems are told is as in {@link openFolder}.
 * @param folder absolute path
 * @param skipped counts the files that are not pictures
 */
export function picturesUnder(folder: string, skipped: SkippedFiles): AsyncGenerator<DatasetEntry> {
  return picturesBelow(folder, {}, skipped);
}

/** Keeps a list of folders to visit instead of recursing, so that no tree is too deep. */
async function* picturesBelow(folder: string, common: Common, skipped: SkippedFiles): AsyncGenerator<DatasetEntry> {
  const pending = [folder];
  const visited = new Set([await realpath(folder).catch(() => folder)]);
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    yield* picturesIn(next, common, skipped, async (entry, path) => {
      if (entry.isDirectory() || (await isNewTarget(path, visited))) pending.push(path);
    });
  }
}

/** Whether a link leads to a folder that no link led to before: circles of links come to an end. */
async function isNewTarget(link: string, visited: Set<string>): Promise<boolean> {
  return visited.size < visited.add(await realpath(link)).size;
}

/** The pictures directly in a folder. @param onFolder called for each folder in it, and each link to one */
async function* picturesIn(
  folder: string,
  common: Common,
  skipped: SkippedFiles,
  onFolder?: (entry: Dirent, path: string) => Promise<void>,
): AsyncGenerator<DatasetEntry> {
  let anyMangled = false;
  try {
    for await (const entry of await opendir(folder)) {
      const path = join(folder, entry.name);
      if (entry.name.startsWith('.')) continue;
      if (await isMangled(entry.name, path)) anyMangled = true;
      else if (await isFolder(entry, path)) {
        if (onFolder && !isOfSystem(entry.name, path, skipped)) await onFolder(entry, path);
      } else if (isPicture(path, skipped)) yield { path, ...common };
    }
    if (!anyMangled) return;
    for (const { name, isDirectory } of await namesNotUtf8(folder)) {
      const path = join(folder, name);
      if (isDirectory || isPicture(path, skipped)) yield { path, ...common, problem: NOT_UTF8 };
    }
  } catch (error) {
    yield { path: folder, ...common, problem: `the folder cannot be listed: ${messageOf(error)}` };
  }
}

async function isFolder(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  const target = await stat(path).catch(() => undefined);
  return target?.isDirectory() ?? false;
}

/** Endings of pictures. What a file really holds is found out when it is decoded. */
export const PICTURE_ENDINGS: ReadonlySet<string> = new Set(
  '.jpg .jpeg .jpe .jfif .png .webp .gif .tif .tiff .avif .heic .heif .hif .svg .bmp .jp2 .jxl .ppm .pgm'.split(' '),
);

const MAX_EXAMPLES = 5;

/** Whether a file's name ends like a picture's; if not, counts it as skipped. */
export function isPicture(path: string, skipped: SkippedFiles): boolean {
  if (PICTURE_ENDINGS.has(extname(path).toLowerCase())) return true;
  skipped.count++;
  if (skipped.examples.length < MAX_EXAMPLES) skipped.examples.push(path);
  return false;
}

const NOT_UTF8 = 'its name is not valid UTF-8, so it cannot be kept in the store; rename it';

/** What Node puts in place of bytes that are not UTF-8. */
const REPLACEMENT = '\ufffd';

/** Whether Node gave a name that does not lead to the file. A name may also contain the replacement character itself. */
async function isMangled(name: string, path: string): Promise<boolean> {
  if (!name.includes(REPLACEMENT)) return false;
  return lstat(path).then(
    () => false,
    () => true,
  );
}

/** The visible names in a folder that are not UTF-8, with the bytes beyond ASCII as `\xff`, so that they stay distinct. */
async function namesNotUtf8(folder: string): Promise<{ name: string; isDirectory: boolean }[]> {
  const entries = await readdir(folder, { withFileTypes: true, encoding: 'buffer' });
  return entries
    .filter(({ name }) => name[0] !== 0x2e && !Buffer.from(name.toString()).equals(name))
    .map((entry) => ({
      name: entry.name.toString('latin1').replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`),
      isDirectory: entry.isDirectory(),
    }));
}
