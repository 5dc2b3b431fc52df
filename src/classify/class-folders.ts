import { copyFile, lstat, mkdir, readlink, stat, symlink, utimes } from 'node:fs/promises';
import { basename, extname, join, resolve } from 'node:path';
import { codeOf, LastlayerError, messageOf } from '../util/errors.js';
import { safeName, safeNames } from '../util/file-names.js';
import { isGone, readRegularFile } from '../util/files.js';
import { placeIn, putWhole, unlessThere } from '../util/placing.js';

/** Folders beside those of the classes: of pictures that are unlike all classes, and of those without any of several labels. */
export const UNKNOWN = 'unknown';
export const NONE = 'none';

/** What came of a picture: it was put there, was there already, or is gone itself. */
export type Placed = 'placed' | 'present' | 'gone';

/**
 * A folder with one folder a class, into which pictures are copied or linked. No file in it is ever overwritten: another picture of
 * the same name becomes `name (2).jpg`. One that is there already, byte for byte or as a link to the same file, stays as it is.
 */
export class ClassFolders {
  /** Labels whose folders have other names than they. */
  readonly renamed: ReadonlyMap<string, string>;
  private readonly names: ReadonlyMap<string, string>;

  /** @param classes the labels that pictures may have, as far as they are known, and whether they may have any number of them */
  constructor(
    readonly root: string,
    private readonly kind: 'copy' | 'link',
    { labels, isMultilabel }: { labels: Iterable<string>; isMultilabel: boolean },
  ) {
    this.names = safeNames(labels, [isMultilabel ? NONE : UNKNOWN]);
    this.renamed = new Map([...this.names].filter(([label, name]) => label !== name));
  }

  /**
   * Puts a picture into the folders of its labels.
   * @param labels empty for none
   * @throws {LastlayerError} if the folder cannot be written to
   */
  async place(path: string, labels: readonly string[] | typeof UNKNOWN): Promise<Placed> {
    if (labels === UNKNOWN) return this.placeIn(UNKNOWN, path);
    if (labels.length === 0) return this.placeIn(NONE, path);
    let all: Placed = 'present';
    for (const label of labels) {
      const placed = await this.placeIn(this.names.get(label) ?? safeName(label), path);
      if (placed !== 'present') all = placed;
    }
    return all;
  }

  private async placeIn(name: string, path: string): Promise<Placed> {
    const folder = join(this.root, name);
    const source = resolve(path);
    try {
      await mkdir(folder, { recursive: true });
      const ending = extname(path);
      const [put, isThere] = this.kind === 'link' ? [link, isLinkTo] : [copy, isCopyOf];
      const { placed } = await placeIn(
        folder,
        { stem: basename(path, ending), ending },
        (target) => put(source, target),
        (target) => isThere(target, source),
      );
      return placed ? 'placed' : 'present';
    } catch (error) {
      if (await isGone(source)) return 'gone';
      const [verb, instead] = this.kind === 'link' ? ['linked', ' --copy-to needs no links.'] : ['copied', ''];
      throw new LastlayerError(
        `${path} cannot be ${verb} to ${folder}: ${messageOf(error)}.` +
          (codeOf(error) === 'EPERM' && instead !== ''
            ? instead
            : ' Name a folder that can be written to and has room.'),
      );
    }
  }
}

/** @returns false if there is something already */
async function link(source: string, target: string): Promise<boolean> {
  return unlessThere(() => symlink(source, target, 'file'));
}

/** Copies a file, whole or not at all, with its time of change. @returns false if there is something already */
async function copy(source: string, target: string): Promise<boolean> {
  const { atime, mtime } = await stat(source);
  return putWhole(target, async (temporary) => {
    await copyFile(source, temporary);
    await utimes(temporary, atime, mtime);
  });
}

async function isLinkTo(target: string, source: string): Promise<boolean> {
  return (await lstat(target)).isSymbolicLink() && (await readlink(target)) === source;
}

async function isCopyOf(target: string, source: string): Promise<boolean> {
  const [a, b] = [await lstat(target), await stat(source)];
  if (!a.isFile() || a.size !== b.size) return false;
  return (await readRegularFile(target)).equals(await readRegularFile(source));
}
