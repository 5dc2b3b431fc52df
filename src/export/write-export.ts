import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { codeOf, LastlayerError, messageOf } from '../util/errors.js';
import { type WholeFile, writeWholeFiles } from '../util/files.js';

/**
 * Writes all of the files or none, see `writeWholeFiles`, and makes their folders.
 * @throws {LastlayerError} if they cannot be written
 * @throws what their content throws
 */
export async function writeExport(...files: WholeFile[]): Promise<void> {
  try {
    for (const { path } of files) await mkdir(dirname(path), { recursive: true });
    await writeWholeFiles(files);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    const paths = files.map(({ path }) => path).join(' and ');
    throw new LastlayerError(`${paths} cannot be written: ${messageOf(error)}. Name another place.`);
  }
}
