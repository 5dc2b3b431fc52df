import { backoff, retry } from '../util/async.js';
import { LastlayerError, messageOf } from '../util/errors.js';

/**
 * Calls LanceDB, and rewrites its errors for people.
 * @param location of the store
 * @throws {LastlayerError} if it fails
 */
export async function inStore<T>(location: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof LastlayerError) throw error;
    throw new LastlayerError(
      `The store ${location} cannot be read or written: ${reasonOf(error)}. Once that is put right, the same command goes on ` +
        'from what is there.',
      'STORE_UNUSABLE',
    );
  }
}

/** As {@link inStore}, for blocks that come one by one. */
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

/**
 * The reason that LanceDB gives for an error. Its message lists the chain of causes, the last of which says why, along with places
 * in its own source; an object store's answer is in it as it came.
 */
export function reasonOf(error: unknown): string {
  const message = messageOf(error);
  const causes = message.split(/\s*Caused by: /).map((cause) =>
    cause
      .replaceAll(/,? ?\S*\.rs:\d+:\d+/g, '')
      .replace(/^LanceError\(\w+\): /, '')
      .trim(),
  );
  const last = causes.findLast((cause) => cause !== '') ?? 'unknown reason';
  return objectStoreReason(message, last) ?? last;
}

const DENIED =
  'access is denied; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key that may read and write there';

/**
 * What to do about some errors of S3; for all others, its own message has to do.
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

/** Why an object store could not be used; undefined if the error is of another kind. */
function objectStoreReason(message: string, lastCause: string): string | undefined {
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
  const server = /Error performing \w+ (https?:\/\/[^/\s]+)/.exec(message)?.[1];
  if (server === undefined) return undefined;
  const status = /status code: (\d+ [\w ]+)/.exec(message)?.[1];
  return status === undefined ? `${server} does not answer: ${lastCause}` : `${server} answers ${status}`;
}

/** Lance itself retries a few times, which is not enough with many writers. These tries take about a minute together. */
const TRIES = 10;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 10_000;

/**
 * Retries a change to a table when another writer was faster.
 * @throws what the change throws, if it is anything else or the last try
 */
export async function retryConflicts<T>(change: () => Promise<T>): Promise<T> {
  return retry(change, {
    tries: TRIES,
    waitAfter: (error, tried) => (isConflict(error) ? backoff(FIRST_WAIT_MS, tried, LONGEST_WAIT_MS) : undefined),
  });
}

/** In the words of Lance: "Retryable commit conflict", "Too many concurrent writers", … */
const CONFLICT = /conflict|concurrent (?:writers|transaction)|write contention/i;

/** Whether a change to a table failed because another writer was faster. */
export function isConflict(error: unknown): boolean {
  return CONFLICT.test(messageOf(error));
}
