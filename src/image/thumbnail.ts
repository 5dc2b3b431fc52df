import { readPictureFile } from '../data/read.js';
import { DECODE_SECONDS, decodeWhole, isDecodedHere } from './decode.js';
import { sharp } from './render.js';

const BACKGROUND = '#ffffff';

/**
 * A small WebP of a picture's file, upright and on white.
 * @param side of the longer side, in pixels; a smaller picture keeps its size
 * @param quality 1 … 100
 * @throws {Error} if the file cannot be read or decoded
 */
export async function thumbnailOf(path: string, side: number, quality: number): Promise<Buffer> {
  return thumbnailOfBytes(await readPictureFile(path), side, quality);
}

/** {@link thumbnailOf} for the bytes of a picture. @throws {Error} if they cannot be decoded */
export async function thumbnailOfBytes(bytes: Uint8Array, side: number, quality: number): Promise<Buffer> {
  const small = isDecodedHere(bytes) ? shrunk(bytes, side) : await rendered(bytes, side);
  return small.webp({ quality }).toBuffer();
}

function shrunk(bytes: Uint8Array, side: number) {
  return sharp(bytes, { failOn: 'none', pages: 1 })
    .timeout({ seconds: DECODE_SECONDS })
    .autoOrient()
    .flatten({ background: BACKGROUND })
    .resize(side, side, { fit: 'inside', withoutEnlargement: true });
}

/** For what is decoded in a process that can be stopped, such as SVG, HEIC and BMP. */
async function rendered(bytes: Uint8Array, side: number) {
  const { data, ...raw } = await decodeWhole(bytes, BACKGROUND, side);
  return sharp(data, { raw });
}
