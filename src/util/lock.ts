import { readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { abandonedBeside, temporaryName } from './files.js';

const KIND = 'lock';

/** How often the time of a lock's file is renewed, so that other machines do not take it for abandoned. */
const RENEW_MS = 3_600_000;

/** The locks of this process. */
const own = new Set<string>();

/**
 * Lets one process at a time work on a file: a file beside it, `photos.csv.1c2d3e-4711-a0b1c2.lock`, names machine and process. A
 * process that was killed leaves one behind, which counts as abandoned and is removed.
 */
export class FileLock {
  private readonly renewal: NodeJS.Timeout;

  private constructor(readonly path: string) {
    this.renewal = setInterval(() => {
      const now = new Date();
      utimes(path, now, now).catch(() => undefined);
    }, RENEW_MS);
    this.renewal.unref();
  }

  /**
   * Takes the lock of a file.
   * @returns the lock or, if another process has it, its file and what it holds
   * @throws a system error if the folder cannot be written to
   */
  static async take(file: string): Promise<FileLock | { heldBy: { path: string; note: string } }> {
    const mine = temporaryName(file, KIND);
    await writeFile(mine, '', { flag: 'wx' });
    const ofThisProcess = mine.slice(0, -'a0b1c2.lock'.length);
    const abandoned = new Set(await abandonedBeside(file, KIND));
    for (const name of await readdir(dirname(file))) {
      const path = join(dirname(file), name);
      if (path === mine || !isLockOf(file, name)) continue;
      // In a container, a process often has the number of the one before it.
      if (abandoned.has(path) || (path.startsWith(ofThisProcess) && !own.has(path))) {
        await rm(path, { force: true });
        continue;
      }
      const note = await readFile(path, 'utf8').catch(() => undefined);
      if (note === undefined) continue;
      await rm(mine, { force: true });
      return { heldBy: { path, note } };
    }
    own.add(mine);
    return new FileLock(mine);
  }

  /** Leaves a note for those who find the lock taken. */
  async note(text: string): Promise<void> {
    await writeFile(this.path, text);
  }

  async release(): Promise<void> {
    clearInterval(this.renewal);
    own.delete(this.path);
    await rm(this.path, { force: true });
  }
}

function isLockOf(file: string, name: string): boolean {
  return (
    name.startsWith(`${basename(file)}.`) &&
    /^[0-9a-f]{6}-\d+-[0-9a-f]{6}\.lock$/.test(name.slice(basename(file).length + 1))
  );
}
