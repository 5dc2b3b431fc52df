import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { LastlayerError, messageOf } from './errors.js';
import { openRegularFile } from './files.js';

/** The sha256 of a model file, in hexadecimal. @throws {LastlayerError} where it cannot be read */
export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline((await openRegularFile(path)).createReadStream(), hash);
  } catch (error) {
    throw new LastlayerError(`The model ${path} cannot be read: ${messageOf(error)}.`);
  }
  return hash.digest('hex');
}
