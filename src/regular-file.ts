import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

/** To open a pipe would wait until somebody writes into it otherwise. Windows does not know the flag. */
const AT_ONCE = (constants as Partial<typeof constants>).O_NONBLOCK ?? 0;

/** Why a pipe, a device or a folder is not read, which might be waited for, or have no end. */
export const NO_REGULAR_FILE = 'it is no regular file';

/**
 * Opens a file to read it.
 * @throws {Error} where it cannot be opened, or is a pipe, a device or a folder; the message does not name it
 */
export async function openRegularFile(path: string): Promise<FileHandle> {
  const file = await open(path, constants.O_RDONLY | AT_ONCE);
  try {
    if (!(await file.stat()).isFile()) throw new Error(NO_REGULAR_FILE);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** The bytes of a file. @throws as {@link openRegularFile} does */
export async function readRegularFile(path: string): Promise<Buffer> {
  const file = await openRegularFile(path);
  try {
    return await file.readFile();
  } finally {
    await file.close();
  }
}
