import { mkdir, open, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isNativeError } from 'node:util/types';
import { retry } from '../../util/async.js';
import { codeOf, LastlayerError, messageOf } from '../../util/errors.js';
import { abandonedBeside, temporaryName } from '../../util/files.js';

const ATTEMPTS = 5;
const STALLED_MS = 30_000;

/** Error codes of the disk. */
const DISK_ERRORS = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EACCES', 'EPERM', 'EFBIG']);

/** Error codes of a server that cannot be reached: no network, no such name, nothing that listens, or nothing that answers. */
const UNREACHABLE = new Set([
  'ENOTFOUND',
  'EAI_AGAIN',
  'ECONNREFUSED',
  'ENETUNREACH',
  'ENETDOWN',
  'EHOSTUNREACH',
  'EADDRNOTAVAIL',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
]);

export interface DownloadOptions {
  /** Receives the bytes so far, and in total if the server says so. */
  onProgress?: ((received: number, total: number | undefined) => void) | undefined;
  onNotice?: ((line: string) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds before the second attempt, doubled for each further one. @default 1000 */
  retryDelay?: number | undefined;
}

/**
 * Downloads a file. Resumes what an earlier, interrupted call left at `path`, provided the server still has the very same file
 * (RFC 9110, section 13.1.5, If-Range); its validator is kept in a file beside it.
 * @throws {LastlayerError} if the server refuses, the connection keeps failing, or the file cannot be written
 * @throws the signal's reason, once it aborts; the bytes so far are kept
 */
export async function download(url: string, path: string, options: DownloadOptions = {}): Promise<void> {
  const { signal, onNotice, retryDelay = 1000 } = options;
  try {
    await retry(() => attemptDownload(url, path, options), {
      tries: ATTEMPTS,
      signal,
      waitAfter: (error, tried) => {
        if (signal?.aborted || error instanceof LastlayerError || cannotWrite(error)) return undefined;
        // A network that was there a moment ago may come back.
        if (tried === 1 && isUnreachable(error)) return undefined;
        onNotice?.(`The download broke off (${causeOf(error)}); trying again.`);
        return retryDelay * 2 ** (tried - 1);
      },
    });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof LastlayerError) throw error;
    const reason = causeOf(error);
    if (isUnreachable(error)) {
      throw new LastlayerError(
        `There is no connection to ${new URL(url).host} (${reason}). If this machine is offline, download ${url} on another one ` +
          `and pass the file with --from FILE.`,
      );
    }
    throw new LastlayerError(
      cannotWrite(error)
        ? `The download cannot be written to ${path}: ${reason}. Make room, or name another place with --out; then run the ` +
            `command again to resume it.`
        : `${url} could not be downloaded in ${ATTEMPTS} attempts: ${reason}. Run the command again to resume it, ` +
            `or download the file by other means and pass it with --from FILE.`,
    );
  }
}

async function attemptDownload(url: string, path: string, options: DownloadOptions): Promise<void> {
  const stalled = new AbortController();
  const signal = options.signal ? AbortSignal.any([stalled.signal, options.signal]) : stalled.signal;
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
    // Each chunk is written before the next one is read: a stream would drop what it holds when the connection breaks.
    const file = await open(path, resumed ? 'a' : 'w');
    try {
      for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
        watchdog.refresh();
        await file.writeFile(chunk);
        received += chunk.length;
        options.onProgress?.(received, total);
      }
    } finally {
      await file.close();
    }
    if (total !== undefined && received !== total) {
      throw new Error(`${received} of ${total} bytes came`);
    }
  } finally {
    clearTimeout(watchdog);
  }
}

/** Retrying helps if the server is overloaded or failing, not if it has no such file. */
function refuseFailure(response: Response, url: string): void {
  if (response.ok) return;
  const message = `the server answered ${response.status} ${response.statusText}`.trimEnd();
  if (response.status === 429 || response.status >= 500) throw new Error(message);
  throw new LastlayerError(`${url}: ${message}. Is the address right?`);
}

/** How much of the file there is, and the validator of the version that it belongs to. */
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

/** Whether the disk failed, so that retrying does not help. */
function cannotWrite(error: unknown): boolean {
  return DISK_ERRORS.has(codeOf(error) ?? '');
}

function isUnreachable(error: unknown): boolean {
  return UNREACHABLE.has(codeOf(reasonFor(error)) ?? '');
}

function causeOf(error: unknown): string {
  const reason = reasonFor(error);
  // The message of several failed addresses together is empty.
  return messageOf(reason) || (codeOf(reason) ?? 'unknown');
}

/** fetch puts the actual reason in the cause. */
function reasonFor(error: unknown): unknown {
  return isNativeError(error) && error.cause !== undefined ? error.cause : error;
}

const KIND = 'download';

/**
 * The folder of a partial download. While a process works on it, the folder carries that process's name, so that two processes
 * with the same download do not write to the same file. Renaming the folder claims and releases it.
 */
export class PartialDownload {
  private constructor(
    private readonly shared: string,
    private readonly own: string,
  ) {}

  /**
   * Takes over what an earlier process left, or starts afresh.
   * @param base a path beside which to put the folder
   * @throws {LastlayerError} if nothing can be written there
   */
  static async claim(base: string): Promise<PartialDownload> {
    const partial = new PartialDownload(`${base}.${KIND}`, temporaryName(base, KIND));
    for (const left of [partial.shared, ...(await abandonedBeside(base, KIND))]) {
      // Fails if there is none, or if another process was faster.
      const isClaimed = await rename(left, partial.own).then(
        () => true,
        () => false,
      );
      if (isClaimed) return partial;
    }
    await mkdir(partial.own).catch((error: unknown) => {
      throw new LastlayerError(
        `The download cannot be written to ${partial.own}: ${messageOf(error)}. Make room, or name another place with --out.`,
      );
    });
    return partial;
  }

  /** The file to download to. */
  get path(): string {
    return join(this.own, 'file');
  }

  /** Leaves the folder to the next process. Does nothing after `remove`. */
  async leave(): Promise<void> {
    // Removes it only if it is empty.
    await rmdir(this.own).catch(() => undefined);
    // If another process has left one already, that one will do.
    await rename(this.own, this.shared).catch(() => this.remove());
  }

  async remove(): Promise<void> {
    await rm(this.own, { recursive: true, force: true });
  }
}
