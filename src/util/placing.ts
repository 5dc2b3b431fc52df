import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { codeOf } from './errors.js';
import { numbered } from './file-names.js';
import { fileExists, temporaryName, writeWholeFiles } from './files.js';

/**
 * Puts a file into a folder that overwrites none: where the name is taken by another, it becomes `name (2).jpg`.
 * @param put puts it there; false if there is something already
 * @param isThere whether what is there is this very file
 */
export async function placeIn(
  folder: string,
  { stem, ending }: { stem: string; ending: string },
  put: (target: string) => Promise<boolean>,
  isThere: (target: string) => Promise<boolean>,
): Promise<{ target: string; placed: boolean }> {
  for (let n = 1; ; n++) {
    const target = join(folder, numbered(stem, n, ending));
    if (await put(target)) return { target, placed: true };
    if (await isThere(target)) return { target, placed: false };
  }
}

/**
 * Writes a new file, whole or not at all, under a name that no file has: `name (2).jpg` if there is a `name.jpg`.
 * @param folder made if it does not exist
 * @returns its path
 * @throws a system error if it cannot be written
 */
export async function writeNewFile(folder: string, name: string, content: Uint8Array): Promise<string> {
  await mkdir(folder, { recursive: true });
  const ending = extname(name);
  const write = async (path: string) => {
    // Once the content is on the disk, an empty file takes the name, so that nobody else gets it meanwhile.
    const take = async () => (await open(path, 'wx')).close();
    return !(await fileExists(path)) && unlessThere(() => writeWholeFiles([{ path, content }], take));
  };
  const isThere = () => Promise.resolve(false);
  return (await placeIn(folder, { stem: basename(name, ending), ending }, write, isThere)).target;
}

/**
 * Makes a file, whole or not at all. It is for what can be made again, such as copies, so it does not wait for the disk: that takes as
 * long as to classify a picture. After a power cut, a file may be empty.
 * @param write writes it to the temporary name it is given
 * @returns false if there is something already
 */
export async function putWhole(target: string, write: (temporary: string) => Promise<void>): Promise<boolean> {
  // It takes the name, so that nobody else gets it meanwhile.
  if (!(await unlessThere(async () => (await open(target, 'wx')).close()))) return false;
  const temporary = temporaryName(target);
  try {
    await write(temporary);
    await rename(temporary, target);
    return true;
  } catch (error) {
    await rm(temporary, { force: true });
    await rm(target, { force: true });
    throw error;
  }
}

/** @returns false if there is something already */
export async function unlessThere(make: () => Promise<void>): Promise<boolean> {
  try {
    await make();
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}
