import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { abandonedBeside, temporaryName } from './temporary.js';

/** What a file is to hold, or what writes it under the temporary name that it is given. */
export type Content = string | Uint8Array | ((temporary: string) => Promise<void>);

export interface WholeFile {
  /** Of a link, the file that it leads to is replaced. */
  path: string;
  content: Content;
}

/** A file that lies whole on the disk. */
interface Staged {
  temporary: string;
  target: string;
}

/** As {@link writeWholeFiles}, a single one. */
export async function writeWholeFile(path: string, content: Content): Promise<void> {
  await writeWholeFiles([{ path, content }]);
}

/**
 * Writes files whole or not at all: under temporary names beside them, which become their own once all of them are on the disk.
 * What earlier processes left of the same files when they were killed is removed.
 *
 * Own code, because write-file-atomic 7 and atomically 2 do not look at how much was written: on a full disk, both put a file that
 * is cut off in place of the old one and report success.
 * @param beforeNaming called when all of them are on the disk
 * @throws a system error where one cannot be written; the old files are as they were
 * @throws what making their content throws
 */
export async function writeWholeFiles(
  files: readonly WholeFile[],
  beforeNaming?: () => Promise<void>,
): Promise<void> {
  const staged: Staged[] = [];
  try {
    for (const { path, content } of files) {
      const target = await realpath(path).catch(() => resolve(path));
      for (const abandoned of await abandonedBeside(target)) await rm(abandoned, { force: true });
      const temporary = temporaryName(target);
      staged.push({ temporary, target });
      await write(temporary, content, await modeOf(target));
    }
    await beforeNaming?.();
    for (const { temporary, target } of staged) await rename(temporary, target);
  } finally {
    // Those that have their own names by now are there no more; where removing fails, there was nothing.
    for (const { temporary } of staged) await rm(temporary, { force: true }).catch(() => undefined);
  }
}

async function write(temporary: string, content: Content, mode: number | undefined): Promise<void> {
  if (typeof content === 'function') await content(temporary);
  const file = await open(temporary, typeof content === 'function' ? 'r+' : 'wx', mode);
  try {
    if (typeof content !== 'function') await file.writeFile(content);
    // The name must not reach the disk before the content does.
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The permissions of a file; undefined where there is none. */
async function modeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ mode }) => mode,
    () => undefined,
  );
}
