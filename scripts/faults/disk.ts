import { execFileSync } from 'node:child_process';
import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { NotHere } from './scenario.js';

/** A small disk in memory. */
export class Disk {
  private constructor(readonly folder: string) {}

  /** @throws {NotHere} if this process is not allowed to mount */
  static async mount(folder: string, mebibytes: number): Promise<Disk> {
    await mkdir(folder, { recursive: true });
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'lastlayer-faults', folder], {
        stdio: 'pipe',
      });
    } catch {
      throw new NotHere('mounting a small disk needs root, or unshare --map-root-user --mount before the command');
    }
    return new Disk(folder);
  }

  /** Fills the disk except for this many bytes. */
  async fill(room: number): Promise<void> {
    await this.empty();
    const { bavail, bsize } = await statfs(this.folder);
    await writeFile(join(this.folder, 'ballast'), Buffer.alloc(Math.max(0, bavail * bsize - room)));
  }

  /** Frees the space again. */
  async empty(): Promise<void> {
    await rm(join(this.folder, 'ballast'), { force: true });
  }

  setReadOnly(isReadOnly: boolean): void {
    execFileSync('mount', ['-o', `remount,${isReadOnly ? 'ro' : 'rw'}`, this.folder], { stdio: 'pipe' });
  }

  unmount(): void {
    execFileSync('umount', [this.folder], { stdio: 'pipe' });
  }
}
