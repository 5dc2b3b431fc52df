import { stat } from 'node:fs/promises';
import { readPictureFile } from '../data/read.js';
import { FileMemory } from '../embed/reader.js';
import { type DecodedImage, decodeViews, type RawPixels } from '../image/decode.js';
import type { Transform } from '../image/transform.js';
import type { View } from '../image/views.js';
import { LastlayerError, messageOf } from '../util/errors.js';

/** A picture: the path of a file, a file's bytes, or pixels. */
export type ImageSource = string | Uint8Array | RawPixels;

const memory = new FileMemory();

/**
 * The views of a picture, ready for a backbone.
 * @throws {LastlayerError} if the picture cannot be read; the message names a file
 */
export async function decodeSource(
  image: ImageSource,
  transform: Transform,
  views: readonly View[] = ['center'],
): Promise<DecodedImage[]> {
  if (typeof image !== 'string') return decodeViews(image, transform, views);
  // If there is no such file, reading it tells.
  const size = await stat(image).then(
    (file) => file.size,
    () => 0,
  );
  return memory.run(size, async () => {
    const bytes = await readPictureFile(image).catch((error: unknown) => {
      throw new LastlayerError(`${image} cannot be read: ${messageOf(error)}.`);
    });
    return decodeViews(bytes, transform, views).catch((error: unknown) => {
      throw new LastlayerError(`${image} is no readable picture: ${messageOf(error)}.`);
    });
  });
}
