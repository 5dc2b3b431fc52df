import { createHash } from 'node:crypto';
import { sha256OfFile } from '../../src/util/hash.js';

test.each([0, 1, 2 ** 20 - 1, 2 ** 20, 3_000_001])('the digest of a file of %d bytes is its SHA-256', async (size) => {
  // A part of a larger buffer, as small files are.
  const bytes = new Uint8Array(size + 8).fill(7, 3).subarray(5, 5 + size);
  expect(await sha256OfFile(bytes)).toBe(createHash('sha256').update(bytes).digest('hex'));
});
