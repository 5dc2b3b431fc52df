import sharp from 'sharp';
import { readPictureFile } from '../data/read.js';
import { decodeWithin, isRaster } from './decode.js';

const BACKGROUND = '#ffffff';
const SECONDS = 60;

/**
 * A small WebP of a picture's file, upright and on white.
 * @param side the longer one, in pixels; a smaller picture keeps its size
 * @param quality 1 … 100
 * @throws {Error} where the file cannot be read or decoded
 */
export async function thumbnailOf(path: string, side: number, quality: number): Promise<Buffer> {
  const bytes = await readPictureFile(path);
  return (isRaster(bytes) ? shrunk(bytes, side) : await drawn(bytes, side)).webp({ quality }).toBuffer();
}

function shrunk(bytes: Uint8Array, side: number) {
  return sharp(bytes, { failOn: 'none', pages: 1 })
    .timeout({ seconds: SECONDS })
    .autoOrient()
    .flatten({ background: BACKGROUND })
    .resize(side, side, { fit: 'inside', withoutEnlargement: true });
}

/** What may take any time, as SVG may, is decoded where it can be stopped. */
async function drawn(bytes: Uint8Array, side: number) {
  const { data, ...raw } = await decodeWithin(bytes, side, BACKGROUND);
  return sharp(data, { raw });
}
