import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf } from './errors.js';
import { numbered } from './file-names.js';
import { temporaryName } from './files.js';

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
 * Makes a file, whole or not at all.
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
