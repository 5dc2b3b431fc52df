import { LastlayerError, messageOf } from '../errors.js';
import { writeWholeFile } from '../whole-file.js';

/**
 * Writes a file that the user asked for, whole or not at all.
 * @param option that names it
 * @returns its path
 * @throws {LastlayerError} where it cannot be written
 */
export async function writeResult(option: string, path: string, text: string): Promise<string> {
  try {
    await writeWholeFile(path, text);
  } catch (error) {
    throw new LastlayerError(
      `${option} ${path} cannot be written: ${messageOf(error)}. Name a file in a folder that is there.`,
    );
  }
  return path;
}
