import { createHash } from 'node:crypto';

/** The SHA-256 digest of bytes, or of a text in UTF-8. */
export function sha256Of(data: string | Uint8Array, encoding: 'hex' | 'base64' = 'hex'): string {
  return createHash('sha256').update(data).digest(encoding);
}

/** From here on, what it costs to hand bytes to another thread is little beside hashing them. */
const LARGE = 2 ** 20;

/** The SHA-256 digest of a file, in hexadecimal digits. Large ones are hashed in a thread of Node's pool. */
export async function sha256OfFile(bytes: Uint8Array): Promise<string> {
  if (bytes.length < LARGE) return sha256Of(bytes);
  // The type also allows for shared memory, into which no file is read.
  return Buffer.from(await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)).toString('hex');
}
