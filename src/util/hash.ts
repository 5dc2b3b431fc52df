import { createHash } from 'node:crypto';

/** The SHA-256 digest of bytes, or of a text in UTF-8. */
export function sha256Of(data: string | Uint8Array, encoding: 'hex' | 'base64' = 'hex'): string {
  return createHash('sha256').update(data).digest(encoding);
}
