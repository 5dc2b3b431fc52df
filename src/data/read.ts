import { open, stat } from 'node:fs/promises';
import { codeOf, LastlayerError } from '../util/errors.js';
import { NOT_A_REGULAR_FILE, openRegularFile } from '../util/files.js';
import type { DatasetEntry, PictureSource, PictureState } from './dataset.js';
import { fetchPicture, stateOfUrl } from './url.js';

/** A larger file is not a photograph, and would only fill the memory. */
export const MAX_BYTES = 2 ** 29;

/**
 * Reads a picture, wherever it is.
 * @returns its bytes, and the part of its state that only reading it tells
 * @throws {Error} if it cannot be read; the message says why, without naming the picture
 */
export async function readPicture({
  path,
  problem,
  source,
}: Pick<DatasetEntry, 'path' | 'problem' | 'source'>): Promise<{
  bytes: Uint8Array;
  state?: Partial<PictureState> | undefined;
}> {
  if (problem !== undefined) throw new LastlayerError(problem);
  if (!source) return { bytes: await readPictureFile(path) };
  if (source.kind === 'url') return fetchPicture(source.url);
  if (source.kind === 'part') return { bytes: await readPart(source) };
  const { readLanceCell, readParquetCell } = await import('./tables.js');
  const bytes = await (source.kind === 'parquet' ? readParquetCell(source) : readLanceCell(source));
  return { bytes, state: { size: bytes.length } };
}

/**
 * The bytes of a picture that is a file.
 * @throws {Error} if it cannot be read, is a pipe, a device or a folder, or is too large; the message does not name it
 */
export async function readPictureFile(path: string): Promise<Buffer<ArrayBuffer>> {
  const file = await openRegularFile(path).catch((error: unknown) => {
    throw codeOf(error) === 'ENOENT' ? new LastlayerError('there is no such file') : error;
  });
  try {
    const { size } = await file.stat();
    refuseTooLarge(size);
    // One read at the known size; `readFile` would ask for the size again.
    const bytes = Buffer.allocUnsafeSlow(size);
    const { bytesRead } = await file.read(bytes, 0, size, 0);
    return bytesRead === size ? bytes : await file.readFile();
  } finally {
    await file.close();
  }
}

async function readPart({ file, offset, size }: Extract<PictureSource, { kind: 'part' }>): Promise<Buffer> {
  const handle = await open(file);
  try {
    const bytes = Buffer.allocUnsafeSlow(size);
    const { bytesRead } = await handle.read(bytes, 0, size, offset);
    if (bytesRead < size) throw new LastlayerError(`${file} ends ${size - bytesRead} bytes too early`);
    return bytes;
  } finally {
    await handle.close();
  }
}

/**
 * The state of a picture, without reading it: the size of the picture, and the time its file, shard or table was changed; for a
 * URL, the answer to HEAD.
 * @param isKnown whether there is an earlier state to compare with; if not, no URL is asked
 * @throws {Error} if there is nothing to read; the message says why
 */
export async function stateOf({ path, problem, source }: DatasetEntry, isKnown: boolean): Promise<PictureState> {
  if (problem !== undefined) throw new LastlayerError(problem);
  if (source?.kind === 'url') return isKnown ? stateOfUrl(source.url) : { size: null, modified: null };
  if (source?.kind === 'lance') {
    const { mtimeMs } = await stat(`${source.table}/_versions`);
    return { size: null, modified: mtimeMs };
  }
  const file = await stat(source ? source.file : path);
  if (!file.isFile()) throw new LastlayerError(NOT_A_REGULAR_FILE);
  const size = source?.kind === 'parquet' ? null : (source?.size ?? file.size);
  refuseTooLarge(size ?? 0);
  return { size, modified: file.mtimeMs };
}

function refuseTooLarge(size: number): void {
  if (size > MAX_BYTES) throw new LastlayerError(`it is larger than ${MAX_BYTES / 2 ** 20} MiB`);
}
