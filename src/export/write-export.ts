import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { LastlayerError, messageOf } from '../errors.js';

/** Writes a file whole or not at all. @throws {LastlayerError} where it cannot be written */
export async function writeExport(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFileAtomic(path, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    throw new LastlayerError(`${path} cannot be written: ${messageOf(error)}. Name another place.`);
  }
}
