import { realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { glob, isDynamicPattern } from 'tinyglobby';
import { LastlayerError, UsageError } from '../util/errors.js';
import { type DatasetEntry, nothingSkipped, remark, type SkippedFiles } from './dataset.js';
import { isPicture, PICTURE_ENDINGS, picturesUnder } from './folder.js';

/** Pictures without labels, to be classified. */
export interface FoundPictures {
  /** Files as they were given; those of folders and patterns with absolute paths. */
  paths: string[];
  /** Why there is nothing to read under some of the paths. */
  problems: Map<string, string>;
  skipped: SkippedFiles;
}

/**
 * Finds the pictures that files, folders and patterns such as `photos/*.jpg` name: in the order in which these are given, and
 * sorted within each folder and pattern. A picture that is named twice is listed once. A file is listed even if it does not exist.
 *
 * Only the paths are held in memory, about 250 MB for a million pictures.
 * @param leaveOut folders not to look into
 * @throws {LastlayerError} if there are no pictures in a folder, or none that a pattern matches
 */
export async function findPictures(inputs: readonly string[], leaveOut: readonly string[]): Promise<FoundPictures> {
  const found: FoundPictures = { paths: [], problems: new Map(), skipped: nothingSkipped() };
  const known = new Set<string>();
  for (const input of inputs) {
    for (const path of await pathsOf(input, leaveOut, found)) {
      if (known.size < known.add(isAbsolute(path) ? path : resolve(path)).size) found.paths.push(path);
    }
  }
  return found;
}

async function pathsOf(input: string, leaveOut: readonly string[], found: FoundPictures): Promise<string[]> {
  const file = await stat(input).catch(() => undefined);
  if (file?.isDirectory()) return picturesOfFolder(input, leaveOut, found);
  // A file may have a name that looks like a pattern.
  if (file || !isDynamicPattern(input)) return [input];
  return picturesOfPattern(input, found);
}

async function picturesOfFolder(
  input: string,
  leaveOut: readonly string[],
  { problems, skipped }: FoundPictures,
): Promise<string[]> {
  const folder = resolve(input);
  const passedOver = nothingSkipped();
  const paths: string[] = [];
  for await (const { path, problem } of picturesExcept(folder, await placesIn(folder, leaveOut), passedOver)) {
    paths.push(path);
    if (problem !== undefined) problems.set(path, problem);
  }
  if (paths.length === 0) throw noPictures(`in ${folder}`, passedOver);
  addTo(skipped, passedOver);
  return paths.sort();
}

async function picturesOfPattern(pattern: string, { skipped }: FoundPictures): Promise<string[]> {
  const passedOver = nothingSkipped();
  // On Windows, `\` stands between folders and escapes nothing.
  const portable = sep === '\\' ? pattern.replaceAll('\\', '/') : pattern;
  const files = await glob(portable, { absolute: true, expandDirectories: false });
  const paths = files.map((path) => resolve(path)).filter((path) => isPicture(path, passedOver));
  if (paths.length === 0) throw noPictures(`that ${pattern} matches`, passedOver);
  addTo(skipped, passedOver);
  return paths.sort();
}

function noPictures(where: string, { count, examples, remarks }: SkippedFiles): LastlayerError {
  const others = count > 0 ? ` Files of other kinds: ${count}, such as ${examples[0]!}.` : '';
  const endings = [...PICTURE_ENDINGS].join(', ');
  return new LastlayerError(
    `There are no pictures ${where}. Files ending in ${endings} were looked for, at any depth.${others}` +
      remarks.map((text) => ` ${text}`).join(''),
    'DATASET_UNUSABLE',
  );
}

function addTo(skipped: SkippedFiles, more: SkippedFiles): void {
  skipped.count += more.count;
  skipped.examples.push(...more.examples);
  for (const text of more.remarks) remark(skipped, text);
}

/** The pictures under a folder, but not those in some of its folders. */
async function* picturesExcept(
  folder: string,
  leaveOut: readonly string[],
  skipped: SkippedFiles,
): AsyncGenerator<DatasetEntry> {
  const told = new Set<string>();
  for await (const entry of picturesUnder(folder, skipped)) {
    const place = leaveOut.find((each) => entry.path.startsWith(each + sep));
    if (place === undefined) yield entry;
    else if (told.size < told.add(place).size) remark(skipped, `${place} was left out, as it is where the results go.`);
  }
}

/**
 * Where folders lie in another one, as its listing names them. Those elsewhere are left out.
 * @throws {UsageError} if one is the other one itself
 */
async function placesIn(folder: string, others: readonly string[]): Promise<string[]> {
  const root = await realLocation(folder);
  const places: string[] = [];
  for (const other of others) {
    const path = relative(root, await realLocation(resolve(other)));
    if (path === '') {
      throw new UsageError(
        `${other} is the folder whose pictures are to be classified. Name another one for the results.`,
      );
    }
    if (!isAbsolute(path) && path.split(sep)[0] !== '..') places.push(join(folder, path));
  }
  return places;
}

/** The path without links, also of what does not exist yet. */
async function realLocation(path: string): Promise<string> {
  return realpath(path).catch(async () => join(await realLocation(dirname(path)), basename(path)));
}

interface WatchOptions {
  /** Folders not to look into. */
  leaveOut: readonly string[];
  /** Ends the watch. */
  signal: AbortSignal;
  /** Time between looks, in ms. @default 1000 */
  every?: number | undefined;
}

/** The size and the time of change of a file, as one text. */
type FileState = string;

/**
 * Finds the pictures of folders, and those that come later. By looking again and again, as notifications of file systems do not
 * reach over a network.
 *
 * A file counts as complete if it is not empty and has not changed from one look to the next. One that could not be read all the
 * same is given again when it has changed. Held in memory are the paths.
 */
export class PictureWatch {
  /** Paths of folders and files that are done. */
  private readonly done = new Set<string>();
  /** Files that are not complete yet. */
  private incomplete = new Map<string, FileState>();
  /** Files that were given but not settled yet. */
  private readonly given = new Map<string, FileState>();
  /** Files that could not be read. */
  private readonly unreadable = new Map<string, FileState>();
  /** Why there is nothing to read under some of the paths. */
  readonly problems = new Map<string, string>();

  private constructor(
    private readonly folders: readonly { path: string; leaveOut: readonly string[] }[],
    private readonly options: WatchOptions,
  ) {}

  /** @throws {UsageError} if one is not a folder, or is one to be left out */
  static async of(folders: readonly string[], options: WatchOptions): Promise<PictureWatch> {
    const places = [];
    for (const folder of folders) {
      const found = await stat(folder).catch(() => undefined);
      if (!found?.isDirectory()) {
        const what = found ? 'is not a folder' : 'does not exist';
        throw new UsageError(`--watch takes folders; ${folder} ${what}.`);
      }
      const path = resolve(folder);
      places.push({ path, leaveOut: await placesIn(path, options.leaveOut) });
    }
    return new PictureWatch(places, options);
  }

  /** The pictures, sorted as far as they are found at the same time. Ends when the signal aborts. */
  async *paths(): AsyncGenerator<string> {
    const { signal, every = 1000 } = this.options;
    const isOver = () => signal.aborted;
    while (!isOver()) {
      const started = Date.now();
      for (const path of (await this.look()).sort()) {
        if (isOver()) return;
        yield path;
      }
      // Looking through a large folder must not become all that is done.
      const pause = Math.max(every, 4 * (Date.now() - started));
      await delay(pause, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Takes note of what came of a picture. */
  settle(path: string, isReadable: boolean): void {
    const state = this.given.get(path);
    this.given.delete(path);
    if (!isReadable && state !== undefined) this.unreadable.set(path, state);
  }

  /** Files that are not complete, or were found just now. */
  get waiting(): string[] {
    return [...this.incomplete.keys()].sort();
  }

  /** The pictures that have become complete. */
  private async look(): Promise<string[]> {
    const incomplete = new Map<string, FileState>();
    const complete: string[] = [];
    for (const { path: folder, leaveOut } of this.folders) {
      for await (const { path, problem } of picturesExcept(folder, leaveOut, nothingSkipped())) {
        if (this.options.signal.aborted) return [];
        if (this.done.has(path) && !this.unreadable.has(path)) continue;
        if (problem !== undefined) {
          this.done.add(path);
          this.problems.set(path, problem);
          complete.push(path);
          continue;
        }
        const state = await stateOf(path);
        if (state === undefined || state === this.unreadable.get(path)) continue;
        if (state !== this.incomplete.get(path) || state.startsWith('0 ')) {
          incomplete.set(path, state);
          continue;
        }
        this.done.add(path);
        this.unreadable.delete(path);
        this.given.set(path, state);
        complete.push(path);
      }
    }
    this.incomplete = incomplete;
    return complete;
  }
}

/** Undefined if the file is gone. */
async function stateOf(path: string): Promise<FileState | undefined> {
  return stat(path).then(
    ({ size, mtimeMs }) => `${size} ${mtimeMs}`,
    () => undefined,
  );
}
