import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { LastlayerError } from '../errors.js';

/** A file larger than this is no photograph; to read it would only fill the memory. */
const MAX_BYTES = 2 ** 29;

/** To open a pipe would wait until somebody writes into it otherwise. Windows does not know the flag. */
const AT_ONCE = (constants as Partial<typeof constants>).O_NONBLOCK ?? 0;

/** Why something can be no picture's file; undefined where it can. */
export function unusable(isFile: boolean, size: number): string | undefined {
  if (!isFile) return 'is no regular file';
  return size > MAX_BYTES ? `is larger than ${MAX_BYTES / 2 ** 20} MiB` : undefined;
}

/**
 * The bytes of a picture that is a file.
 * @throws {LastlayerError} where it is no regular file, such as a pipe or a device, or too large
 * @throws {Error} of the system, where it cannot be read
 */
export async function readPictureFile(path: string): Promise<Buffer<ArrayBuffer>> {
  const file = await open(path, constants.O_RDONLY | AT_ONCE);
  try {
    const state = await file.stat();
    const reason = unusable(state.isFile(), state.size);
    if (reason !== undefined) throw new LastlayerError(reason);
    // At its size, which `readFile` would ask for again.
    const bytes = Buffer.alloc(state.size);
    const { bytesRead } = await file.read(bytes, 0, state.size, 0);
    return bytesRead === state.size ? bytes : await file.readFile();
  } finally {
    await file.close();
  }
}
