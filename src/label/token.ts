import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheFolder } from '../util/cache-folder.js';
import { writeWholeFile } from '../util/files.js';
import { sha256Of } from '../util/hash.js';

const BYTES = 24;
const TOKEN = /^[\w-]{32}$/;

/**
 * The token that lets a browser in, which stays the same for the same labels: so that an open page goes on, and a bookmark holds,
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

/** What a file holds, if it is the user's own and nobody else could have read it. */
async function kept(path: string): Promise<string | undefined> {
  // Windows has neither; there, the cache folder is the user's alone. A link could lead to what somebody else has written.
  const file = await open(path, constants.O_RDONLY | ((constants.O_NOFOLLOW as number | undefined) ?? 0));
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
