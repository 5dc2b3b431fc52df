import { mkdir, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { codeOf, LastlayerError, messageOf } from '../errors.js';

/** Writes a file whole or not at all. @throws {LastlayerError} where it cannot be written */
export async function writeExport(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeFileAtomic(path, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    throw new LastlayerError(`${path} cannot be written: ${messageOf(error)}. Name another place.`);
  }
}

/**
 * Writes a file under a temporary name, which becomes its own once it is whole.
 * @param write is given the temporary name
 * @throws {LastlayerError} where it cannot be written
 */
export async function writeByStream(
  path: string,
  write: (temporary: string) => Promise<void>,
): Promise<void> {
  const temporary = `${path}.${process.pid}.part`;
  try {
    await mkdir(dirname(path), { recursive: true });
    await write(temporary);
    await rename(temporary, path);
  } catch (error) {
    // Where even this fails there was nothing.
    await rm(temporary, { force: true }).catch(() => undefined);
    if (codeOf(error) === undefined) throw error;
    throw new LastlayerError(`${path} cannot be written: ${messageOf(error)}. Name another place.`);
  }
}
