import { backoff, retry } from '../util/async.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import type { PictureState } from './dataset.js';

/** A larger file is not a photograph, or is an attack. */
const MAX_BYTES = 64 * 2 ** 20;

/** For one answer, including its body. */
const TIMEOUT_MS = 30_000;

const TRIES = 4;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 10_000;

/**
 * Downloads a picture: up to 64 MiB, in up to 30 s. A failure that may pass (no connection, no answer in time, 408, 429, 5xx) is
 * retried, four tries in all. The waits double, or are as long as the server asks for, up to 10 s.
 * @throws {LastlayerError} with the reason of the last try
 */
export async function fetchPicture(url: string): Promise<{ bytes: Uint8Array; state: Partial<PictureState> }> {
  return retry(() => download(url), {
    tries: TRIES,
    waitAfter: (error, tried) =>
      error instanceof TemporaryError
        ? Math.min(LONGEST_WAIT_MS, Math.max(error.afterMs, backoff(FIRST_WAIT_MS, tried, LONGEST_WAIT_MS)))
        : undefined,
  });
}

/** Size and time of change from the answer to HEAD; both unknown where that fails. */
export async function stateOfUrl(url: string): Promise<PictureState> {
  try {
    return stateIn((await request(url, 'HEAD')).headers);
  } catch {
    // Reading the picture will tell why.
    return { size: null, modified: null };
  }
}

/** A failure that may pass. */
class TemporaryError extends LastlayerError {
  /** @param afterMs how long the server asks to wait */
  constructor(
    message: string,
    readonly afterMs = 0,
  ) {
    super(message);
  }
}

async function download(url: string): Promise<{ bytes: Uint8Array; state: Partial<PictureState> }> {
  const response = await request(url, 'GET');
  const bytes = await bodyOf(response);
  return { bytes, state: { size: bytes.length, modified: stateIn(response.headers).modified } };
}

async function request(url: string, method: 'GET' | 'HEAD'): Promise<Response> {
  let response;
  try {
    response = await fetch(url, { method, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    throw new TemporaryError(reasonOf(error));
  }
  if (response.ok) return response;
  await response.body?.cancel();
  const reason = `the server says ${response.status} ${response.statusText}`.trim();
  const mayPass = response.status >= 500 || response.status === 429 || response.status === 408;
  if (!mayPass) throw new LastlayerError(reason);
  throw new TemporaryError(reason, 1000 * (Number(response.headers.get('retry-after')) || 0));
}

/** Reads no more than is allowed, whatever the headers say. */
async function bodyOf({ body }: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of body ?? []) {
      const bytes = chunk as Uint8Array;
      length += bytes.length;
      if (length > MAX_BYTES) break;
      chunks.push(bytes);
    }
  } catch (error) {
    throw new TemporaryError(reasonOf(error));
  }
  if (length > MAX_BYTES) throw new LastlayerError(`is larger than ${MAX_BYTES / 2 ** 20} MiB`);
  return Buffer.concat(chunks);
}

function stateIn(headers: Headers): PictureState {
  const size = Number(headers.get('content-length') ?? NaN);
  const modified = Date.parse(headers.get('last-modified') ?? '');
  return {
    size: Number.isFinite(size) && !headers.has('content-encoding') ? size : null,
    modified: Number.isFinite(modified) ? modified : null,
  };
}

/** The message of fetch's error says only that it failed; its cause says why. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `no answer in ${TIMEOUT_MS / 1000} s`;
  const cause = error instanceof Error ? error.cause : undefined;
  return messageOf(cause ?? error);
}
