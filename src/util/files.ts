import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, type FileHandle, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { codeOf, LastlayerError, messageOf } from './errors.js';
import { sha256Of } from './hash.js';

/** What a file is to hold, or what writes it under the temporary name that it is given. */
type Content = string | Uint8Array | ((temporary: string) => Promise<void>);

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

/** To open a pipe would wait until somebody writes into it otherwise. Windows does not know the flag. */
const AT_ONCE = (constants as Partial<typeof constants>).O_NONBLOCK ?? 0;

/** Why a pipe, a device or a folder is not read, which might be waited for, or have no end. */
export const NO_REGULAR_FILE = 'it is no regular file';

/**
 * Opens a file to read it.
 * @throws {Error} where it cannot be opened, or is a pipe, a device or a folder; the message does not name it
 */
export async function openRegularFile(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | AT_ONCE);
  try {
    if (!(await file.stat()).isFile()) throw new Error(NO_REGULAR_FILE);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The bytes of a file. @throws as {@link openRegularFile} does */
export async function readRegularFile(path: string): Promise<Buffer> {
  const file = await openRegularFile(path);
  try {
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** The SHA-256 digest of a model file, in hexadecimal. @throws {LastlayerError} where it cannot be read */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline((await openRegularFile(path)).createReadStream(), hash);
  } catch (error) {
    throw new LastlayerError(`The model ${path} cannot be read: ${messageOf(error)}.`);
  }
  return hash.digest('hex');
}

/** What is of other machines, of whose processes nothing is known here, counts as abandoned after this. */
const ABANDONED_MS = 24 * 3_600_000;

/**
 * A name beside a file for what is not whole yet, of this process alone: with the machine, the process and a random number, e.g.
 * `head.safetensors.1c2d3e-4711-a0b1c2.part`.
 * @param kind the last part of the name: letters
 */
export function temporaryName(target: string, kind = 'part'): string {
  return `${target}.${machine()}-${process.pid}-${randomBytes(3).toString('hex')}.${kind}`;
}

/** What lies beside a file under such names and is of processes that are no more. */
export async function abandonedBeside(target: string, kind = 'part'): Promise<string[]> {
  const start = `${basename(target)}.`;
  const pattern = new RegExp(`^([0-9a-f]{6})-(\\d+)-[0-9a-f]{6}\\.${kind}$`);
  const abandoned: string[] = [];
  for (const name of await readdir(dirname(target)).catch(() => [])) {
    const ending = name.startsWith(start) ? pattern.exec(name.slice(start.length)) : null;
    if (!ending) continue;
    const path = join(dirname(target), name);
    if (ending[1] === machine() ? !isRunning(Number(ending[2])) : await isOld(path)) abandoned.push(path);
  }
  return abandoned;
}

function machine(): string {
  return sha256Of(hostname()).slice(0, 6);
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

/** Whether there is anything at the path. */
export async function fileExists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
