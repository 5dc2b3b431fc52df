import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, type FileHandle, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { codeOf, LastlayerError, messageOf } from './errors.js';
import { sha256Of } from './hash.js';

/** What to write, or a function that writes it to the temporary name it is given. */
type Content = string | Uint8Array | ((temporary: string) => Promise<void>);

export interface WholeFile {
  /** If it is a link, the file it leads to is replaced. */
  path: string;
  content: Content;
  /** Who may do what with it. @default as it was or, of a new file, as the system has it */
  mode?: number | undefined;
}

/** {@link writeWholeFiles} for a single file. */
export async function writeWholeFile(path: string, content: Content, mode?: number): Promise<void> {
  await writeWholeFiles([{ path, content, mode }]);
}

/**
 * Writes all of the files or none: first under temporary names beside them, then renamed once all are on the disk. Removes what
 * killed processes left of earlier attempts.
 *
 * Own code, because write-file-atomic 7 and atomically 2 do not check how much was written: on a full disk, both replace the old
 * file by a truncated one and report success.
 * @param beforeNaming called once all files are on the disk, before any is renamed
 * @throws a system error if one cannot be written, or what its content throws; the old files are then as they were
 */
export async function writeWholeFiles(files: readonly WholeFile[], beforeNaming?: () => Promise<void>): Promise<void> {
  const staged: { temporary: string; target: string }[] = [];
  try {
    for (const { path, content, mode } of files) {
      const target = await realpath(path).catch(() => resolve(path));
      for (const abandoned of await abandonedBeside(target)) await rm(abandoned, { force: true });
      const temporary = temporaryName(target);
      staged.push({ temporary, target });
      await write(temporary, content, mode ?? (await modeOf(target)));
    }
    await beforeNaming?.();
    for (const { temporary, target } of staged) await rename(temporary, target);
  } finally {
    // Renamed files are gone from here; if removing fails, there was nothing.
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

/** The permissions of a file; undefined if there is none. */
async function modeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    ({ mode }) => mode,
    () => undefined,
  );
}

/**
 * A temporary name beside a file that holds the machine, the process and a random number, e.g.
 * `head.safetensors.1c2d3e-4711-a0b1c2.part`.
 * @param kind the ending: letters
 */
export function temporaryName(target: string, kind = 'part'): string {
  return `${target}.${machine()}-${process.pid}-${randomBytes(3).toString('hex')}.${kind}`;
}

/** Files of other machines, whose processes cannot be looked up, count as abandoned after this. */
const ABANDONED_MS = 24 * 3_600_000;

/** The files beside `target` with such a temporary name whose process no longer runs. */
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
    // EPERM: it runs, but belongs to another user.
    return codeOf(error) === 'EPERM';
  }
}

async function isOld(path: string): Promise<boolean> {
  return stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs > ABANDONED_MS,
    () => false,
  );
}

/** Why a pipe, a device or a folder is refused: reading it might block, or never end. */
export const NOT_A_REGULAR_FILE = 'it is not a regular file';

/** Keeps `open` from waiting for somebody to write into a pipe. Windows lacks the flag. */
const NONBLOCK = (constants as Partial<typeof constants>).O_NONBLOCK ?? 0;

/**
 * Opens a file for reading.
 * @throws {Error} if it cannot be opened, or is a pipe, a device or a folder; the message does not name it
 */
export async function openRegularFile(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) throw new Error(NOT_A_REGULAR_FILE);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The bytes of a file. @throws as {@link openRegularFile} does */
export async function readRegularFile(path: string): Promise<Buffer<ArrayBuffer>> {
  const file = await openRegularFile(path);
  try {
    return await file.readFile();
  } finally {
    await file.close();
  }
}

/** False, too, if it cannot be seen. */
export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** False if the file merely cannot be seen, for lack of rights, say. */
export async function isGone(path: string): Promise<boolean> {
  return stat(path).then(
    () => false,
    (error: unknown) => ['ENOENT', 'ENOTDIR'].includes(codeOf(error) ?? ''),
  );
}

/** The SHA-256 digest of a model file, in hexadecimal. @throws {LastlayerError} if it cannot be read */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline((await openRegularFile(path)).createReadStream(), hash);
  } catch (error) {
    throw new LastlayerError(`The model ${path} cannot be read: ${messageOf(error)}.`);
  }
  return hash.digest('hex');
}

export async function fileExists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
