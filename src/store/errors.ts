import { backoff, retry } from '../util/async.js';
import { LastlayerError, messageOf } from '../util/errors.js';

/**
 * Has LanceDB do something, and tells what went wrong as one reads it.
 * @param location of the store
 * @throws {LastlayerError} where it fails
 */
export async function inStore<T>(location: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storeError(location, error);
  }
}

/** As {@link inStore}, of what gives blocks one by one. */
export async function* blocksInStore<T>(location: string, blocks: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = blocks[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await inStore(location, () => iterator.next());
      if (next.done) return;
      yield next.value;
    }
  } finally {
    await iterator.return?.();
  }
}

function storeError(location: string, error: unknown): LastlayerError {
  return new LastlayerError(
    `The store ${location} cannot be read or written: ${reasonOf(error)}. Once that is put right, the same command goes on ` +
      `from what is there.`,
  );
}

/** LanceDB tells each error with those that caused it, the last of which says why, and with places in its own source. */
export function reasonOf(error: unknown): string {
  const message = messageOf(error);
  const reasons = message.split(/\s*Caused by: /).map((reason) =>
    reason
      .replaceAll(/,? ?\S*\.rs:\d+:\d+/g, '')
      .replace(/^LanceError\(\w+\): /, '')
      .trim(),
  );
  const last = reasons.findLast((reason) => reason !== '') ?? 'unknown reason';
  return plainReason(message, last) ?? last;
}

const DENIED =
  'access is denied; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key that may read and write there';

/**
 * What to do about an answer of S3 that names its error; others are told by its own message.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
 */
const ADVICE: Record<string, string> = {
  NoSuchBucket: 'there is no such bucket; make it, or name another one',
  PermanentRedirect: 'the bucket is in another region; set AWS_REGION',
  AccessDenied: DENIED,
  ExpiredToken: DENIED,
  InvalidAccessKeyId: DENIED,
  InvalidToken: DENIED,
  SignatureDoesNotMatch: DENIED,
};

/**
 * Why an object store could not be used, as one reads it, out of an error of LanceDB, which tells the server's answer as it came.
 * @param message of the error, whole
 * @param cause the last of its causes
 * @returns undefined where the error is of another kind
 */
function plainReason(message: string, cause: string): string | undefined {
  const code = /<Code>(\w+)<\/Code>/.exec(message)?.[1];
  if (code !== undefined) {
    const told = ADVICE[code] ?? /<Message>([^<]+)<\/Message>/.exec(message)?.[1] ?? 'the server refused';
    return `${told.replace(/\.$/, '')} (${code})`;
  }
  if (/Failed to get AWS credentials/.test(message)) {
    return 'there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';
  }
  if (/Generic S3 error/.test(message) && /URL scheme is not allowed/.test(message)) {
    return 'its address is not https; set AWS_ALLOW_HTTP=true if that is meant';
  }
  const [, server] = /Error performing \w+ (https?:\/\/[^/\s]+)/.exec(message) ?? [];
  if (server === undefined) return undefined;
  const [, status] = /status code: (\d+ [\w ]+)/.exec(message) ?? [];
  return status === undefined ? `${server} does not answer: ${cause}` : `${server} answers ${status}`;
}

/** Lance itself tries a few times; with many writers that may not be enough. Together these take about a minute. */
const TRIES = 10;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;

/** How Lance says that somebody else was faster: "Retryable commit conflict", "Too many concurrent writers", … */
const CONFLICT = /conflict|concurrent (?:writers|transaction)|write contention/i;

/** Whether a change to a table failed because somebody else has changed it meanwhile. */
export function isConflict(error: unknown): boolean {
  return CONFLICT.test(messageOf(error));
}

/**
 * Does a change to a table again where somebody else has changed the table meanwhile.
 * @throws what the change throws, where that is something else or it was tried often enough
 */
export async function retryConflicts<T>(change: () => Promise<T>): Promise<T> {
  return retry(change, {
    tries: TRIES,
    waitAfter: (error, tried) =>
      isConflict(error) ? backoff(FIRST_WAIT_MS, tried, LONGEST_WAIT_MS) : undefined,
  });
}
