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
export function plainReason(message: string, cause: string): string | undefined {
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
