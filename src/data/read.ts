import { open, stat } from 'node:fs/promises';
import { LastlayerError } from '../util/errors.js';
import { NO_REGULAR_FILE, openRegularFile } from '../util/files.js';
import type { DatasetEntry, PictureState } from './dataset.js';
import { readLanceCell, readParquetCell } from './tables.js';
import { fetchPicture, stateOfUrl } from './url.js';

/**
 * The state of a picture without reading it: of a file and a .tar member the size and the file's time of change; of a table's
 * cell its table's; of a URL what HEAD says, which is asked only where it matters.
 * @param isKnown whether there is an earlier state to compare with
 * @throws {Error} where there is nothing to read; the message says why
 */
export async function stateOf(
  { path, problem, source }: DatasetEntry,
  isKnown: boolean,
): Promise<PictureState> {
  if (problem !== undefined) throw new LastlayerError(problem);
  if (source?.kind === 'url') return isKnown ? stateOfUrl(source.url) : { size: null, modified: null };
  const holder = source?.kind === 'part' || source?.kind === 'parquet' ? source.file : path;
  const file = await stat(source?.kind === 'lance' ? `${source.table}/_versions` : holder);
  if (source?.kind === 'lance') return { size: null, modified: file.mtimeMs };
  const size = source ? (source.kind === 'part' ? source.size : null) : file.size;
  const reason = unusable(file.isFile(), size ?? 0);
  if (reason !== undefined) throw new LastlayerError(reason);
  return { size, modified: file.mtimeMs };
}

/**
 * Reads a picture, wherever it is.
 * @returns its bytes, and what of its state only reading it tells
 * @throws {Error} where it cannot be read; the message says why
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
  if (source?.kind === 'url') return fetchPicture(source.url);
  if (source?.kind === 'part') return { bytes: await readPart(source) };
  if (!source) return { bytes: await readPictureFile(path) };
  const bytes = await (source.kind === 'parquet' ? readParquetCell(source) : readLanceCell(source));
  return { bytes, state: { size: bytes.length } };
}

async function readPart({
  file,
  offset,
  size,
}: {
  file: string;
  offset: number;
  size: number;
}): Promise<Buffer> {
  const handle = await open(file);
  try {
    const bytes = Buffer.alloc(size);
    const { bytesRead } = await handle.read(bytes, 0, size, offset);
    if (bytesRead < size) throw new LastlayerError(`${file} ends ${size - bytesRead} bytes too early`);
    return bytes;
  } finally {
    await handle.close();
  }
}

/** A file larger than this is no photograph; to read it would only fill the memory. */
const MAX_BYTES = 2 ** 29;

/** Why something can be no picture's file; undefined where it can. */
function unusable(isFile: boolean, size: number): string | undefined {
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
