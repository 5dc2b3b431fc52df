import { createHash, randomBytes } from 'node:crypto';
import { open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { codeOf } from './errors.js';

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

/** Temporary files of other machines, of whose processes nothing is known here, count as abandoned after this. */
const ABANDONED_MS = 24 * 3_600_000;

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
      await removeAbandoned(target);
      const temporary = `${target}${temporaryEnding()}`;
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

/** E.g. `.1c2d3e-4711-a0b1c2.part`: machine, process and a random number. */
function temporaryEnding(): string {
  return `.${machine()}-${process.pid}-${randomBytes(3).toString('hex')}.part`;
}

function machine(): string {
  return createHash('sha256').update(hostname()).digest('hex').slice(0, 6);
}

async function removeAbandoned(target: string): Promise<void> {
  const folder = dirname(target);
  const start = `${basename(target)}.`;
  for (const name of await readdir(folder).catch(() => [])) {
    const ending = name.startsWith(start)
      ? /^([0-9a-f]{6})-(\d+)-[0-9a-f]{6}\.part$/.exec(name.slice(start.length))
      : null;
    if (!ending) continue;
    const path = join(folder, name);
    const isAbandoned = ending[1] === machine() ? !isRunning(Number(ending[2])) : await isOld(path);
    if (isAbandoned) await rm(path, { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // One of somebody else may not be signalled, but it is there.
    return codeOf(error) === 'EPERM';
  }
}

async function isOld(path: string): Promise<boolean> {
  return stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs > ABANDONED_MS,
    () => false,
  );
}
