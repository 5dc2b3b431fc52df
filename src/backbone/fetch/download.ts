import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { retry } from '../../util/async.js';
import { codeOf, LastlayerError, messageOf } from '../../util/errors.js';
import { abandonedBeside, temporaryName } from '../../util/files.js';

const ATTEMPTS = 5;
const STALLED_MS = 30_000;

/** Errors of the disk. */
const CANNOT_WRITE = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EFBIG']);

export interface DownloadOptions {
  /** Bytes here so far, and in all where the server says so. */
  onProgress?: ((received: number, total: number | undefined) => void) | undefined;
  onNotice?: ((line: string) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds before the second attempt, doubled for each further one. Default: 1000. */
  retryDelay?: number | undefined;
}

/**
 * Downloads a file to `path`, which is complete when this returns. What an earlier, interrupted call left there is
 * gone on with, provided the server still has the very same file (RFC 9110, section 13.1.5, If-Range); a complete file is kept.
 * What proves that is noted beside it.
 * @throws {LastlayerError} where the server refuses, or the connection breaks down again and again
 * @throws the signal's reason, once it aborts; what came so far stays
 */
export async function download(url: string, path: string, options: DownloadOptions = {}): Promise<void> {
  const { signal, onNotice, retryDelay = 1000 } = options;
  try {
    await retry(() => attemptDownload(url, path, options), {
      tries: ATTEMPTS,
      signal,
      waitAfter: (error, tried) => {
        if (signal?.aborted || error instanceof LastlayerError || cannotWrite(error)) return undefined;
        onNotice?.(`The download broke off (${causeOf(error)}); trying again.`);
        return retryDelay * 2 ** (tried - 1);
      },
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof LastlayerError) throw error;
    const reason = causeOf(error);
    throw new LastlayerError(
      cannotWrite(error)
        ? `What is downloaded cannot be written to ${path}: ${reason}. Make room, or name another place with --out; then ` +
            `run the command again, which goes on from there.`
        : `${url} could not be downloaded in ${ATTEMPTS} attempts: ${reason}. Run the command again to go on from ` +
            `there, or download the file by other means and pass it with --from FILE.`,
    );
  }
}

async function attemptDownload(url: string, path: string, options: DownloadOptions): Promise<void> {
  const stalled = new AbortController();
  const signal = AbortSignal.any([stalled.signal, ...(options.signal ? [options.signal] : [])]);
  const watchdog = setTimeout(() => {
    stalled.abort(new Error(`nothing came for ${STALLED_MS / 1000} seconds`));
  }, STALLED_MS);
  try {
    const before = await resumePoint(path);
    const headers = before
      ? { Range: `bytes=${before.size}-`, 'If-Range': before.validator, 'Accept-Encoding': 'identity' }
      : { 'Accept-Encoding': 'identity' };
    const response = await fetch(url, { headers, signal });
    if (response.status === 416 && before) {
      await response.body?.cancel();
      if (response.headers.get('content-range') === `bytes */${before.size}`) return;
      await rm(path, { force: true });
      throw new Error('the file on the server has changed');
    }
    refuseFailure(response, url);
    const resumed = response.status === 206 && before !== undefined;
    let received = resumed ? before.size : 0;
    const length = response.headers.get('content-length');
    const total = length === null ? undefined : received + Number(length);
    if (!resumed) await rememberValidator(path, response);
    await pipeline(
      Readable.from(response.body ?? []),
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          watchdog.refresh();
          received += chunk.length;
          options.onProgress?.(received, total);
          yield chunk;
        }
      },
      createWriteStream(path, { flags: resumed ? 'a' : 'w' }),
      { signal },
    );
    if (total !== undefined && received !== total) {
      throw new Error(`${received} of ${total} bytes came`);
    }
  } finally {
    clearTimeout(watchdog);
  }
}

/** Retrying helps where the server is overloaded or failing, not where it says that there is nothing. */
function refuseFailure(response: Response, url: string): void {
  if (response.ok) return;
  const message = `the server answered ${response.status} ${response.statusText}`.trimEnd();
  if (response.status === 429 || response.status >= 500) throw new Error(message);
  throw new LastlayerError(`${url}: ${message}. Is the address right?`);
}

/** How much of the file is here, and what proves that the rest belongs to it. */
async function resumePoint(path: string): Promise<{ size: number; validator: string } | undefined> {
  const [size, validator] = await Promise.all([
    stat(path).then(
      (file) => file.size,
      () => 0,
    ),
    readFile(validatorPath(path), 'utf8').catch(() => ''),
  ]);
  return size > 0 && validator !== '' ? { size, validator } : undefined;
}

async function rememberValidator(path: string, { headers }: Response): Promise<void> {
  const etag = headers.get('etag');
  const strong = etag !== null && !etag.startsWith('W/') ? etag : headers.get('last-modified');
  await rm(path, { force: true });
  if (strong === null) await rm(validatorPath(path), { force: true });
  else await writeFile(validatorPath(path), strong);
}

function validatorPath(path: string): string {
  return `${path}.etag`;
}

/** Whether it is the disk that failed, which does not pass by trying again. */
function cannotWrite(error: unknown): boolean {
  return CANNOT_WRITE.has(codeOf(error) ?? '');
}

/** fetch hides what went wrong in the cause. */
function causeOf(error: unknown): string {
  return error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : messageOf(error);
}

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
