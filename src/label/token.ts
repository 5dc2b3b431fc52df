import { createHmac, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheFolder } from '../util/cache-folder.js';
import { writeWholeFile } from '../util/files.js';
import { sha256Of } from '../util/hash.js';

const BYTES = 24;
const TOKEN = /^[\w-]{32}$/;

/**
 * The token that lets a browser in, which stays the same for the same labels, so that an open page goes on, and a bookmark holds,
 * when the server is started again. It is kept in a file of the cache folder that only the user can read. Where that cannot be, it is
 * a new one each time.
 * @param journal of the labels, absolute path
 */
export async function tokenFor(journal: string): Promise<string> {
  const path = join(cacheFolder('label-tokens'), sha256Of(journal).slice(0, 32));
  const known = await kept(path).catch(() => undefined);
  if (known !== undefined) return known;
  const token = randomBytes(BYTES).toString('base64url');
  await keep(path, token).catch(() => undefined);
  return token;
}

/**
 * What only somebody who knows the token can say, without giving it away.
 * @param nonce a text that was never asked about before
 * @param port of the server: so that a program on another one, where a page expects the server, gains nothing by passing the question on
 * @returns HMAC-SHA256 of both, as hexadecimal digits
 */
export function proofOf(token: string, nonce: string, port: number): string {
  return createHmac('sha256', token).update(`${nonce} ${port}`).digest('hex');
}

/** What a file holds, if it is the user's own and nobody else could have read it. */
async function kept(path: string): Promise<string | undefined> {
  // A link could lead to what somebody else has written, and a pipe would be waited for. Windows has neither flag nor mode; there, the
  // cache folder is the user's alone.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const status = await file.stat();
    const isOwn = process.getuid === undefined || (status.uid === process.getuid() && (status.mode & 0o077) === 0);
    if (!isOwn || !status.isFile() || status.size > 100) return undefined;
    const text = await file.readFile('utf8');
    return TOKEN.test(text) ? text : undefined;
  } finally {
    await file.close();
  }
}

async function keep(path: string, token: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await rm(path, { force: true });
  await writeWholeFile(path, token, 0o600);
}
