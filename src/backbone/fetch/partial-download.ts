import { mkdir, rename, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { LastlayerError, messageOf } from '../../errors.js';
import { abandonedBeside, temporaryName } from '../../temporary.js';

const KIND = 'download';

/**
 * A folder for what is being downloaded, of one process as long as it is at work, so that two that download the same do not
 * write into one file. It is claimed and left by being renamed, with all that is in it.
 */
export class PartialDownload {
  private constructor(
    private readonly shared: string,
    private readonly own: string,
  ) {}

  /**
   * Goes on with what an earlier process has left, or begins anew.
   * @param base beside which the folder lies
   * @throws {LastlayerError} where nothing can be written there
   */
  static async claim(base: string): Promise<PartialDownload> {
    const partial = new PartialDownload(`${base}.${KIND}`, temporaryName(base, KIND));
    for (const left of [partial.shared, ...(await abandonedBeside(base, KIND))]) {
      // Where there is none, or another one was faster, there may be a next one.
      const isClaimed = await rename(left, partial.own).then(
        () => true,
        () => false,
      );
      if (isClaimed) return partial;
    }
    await mkdir(partial.own).catch((error: unknown) => {
      throw new LastlayerError(
        `What is downloaded cannot be written to ${partial.own}: ${messageOf(error)}. Make room, or name another place with --out.`,
      );
    });
    return partial;
  }

  /** The file to download to. */
  get path(): string {
    return join(this.own, 'file');
  }

  /** Leaves what there is to whoever comes next; does nothing where it was removed. */
  async leave(): Promise<void> {
    // Only an empty folder can be removed so.
    await rmdir(this.own).catch(() => undefined);
    // Where another one has left some already, that is as good.
    await rename(this.own, this.shared).catch(() => this.remove());
  }

  async remove(): Promise<void> {
    await rm(this.own, { recursive: true, force: true });
  }
}
