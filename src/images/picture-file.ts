import { LastlayerError } from '../errors.js';
import { NO_REGULAR_FILE, openRegularFile } from '../regular-file.js';

/** A file larger than this is no photograph; to read it would only fill the memory. */
const MAX_BYTES = 2 ** 29;

/** Why something can be no picture's file; undefined where it can. */
export function unusable(isFile: boolean, size: number): string | undefined {
  if (!isFile) return NO_REGULAR_FILE;
  return size > MAX_BYTES ? `it is larger than ${MAX_BYTES / 2 ** 20} MiB` : undefined;
}

/**
 * The bytes of a picture that is a file.
 * @throws {Error} where it cannot be read, is a pipe, a device or a folder, or too large; the message does not name it
 */
export async function readPictureFile(path: string): Promise<Buffer<ArrayBuffer>> {
  const file = await openRegularFile(path);
  try {
    const state = await file.stat();
    const reason = unusable(true, state.size);
    if (reason !== undefined) throw new LastlayerError(reason);
    // At its size, which `readFile` would ask for again.
    const bytes = Buffer.alloc(state.size);
    const { bytesRead } = await file.read(bytes, 0, state.size, 0);
    return bytesRead === state.size ? bytes : await file.readFile();
  } finally {
    await file.close();
  }
}
