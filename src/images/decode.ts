import { enlargeAndCrop } from './enlarge.js';
import { openPicture, SECONDS, type DecodeOptions, type RawPixels } from './open-picture.js';
import type { Recipe } from './render.js';
import { resizedSize, type Transform } from './transform.js';
import { cut, mirror, offsetOf, placeOf, type Place, type View } from './views.js';

/** A picture as the network wants it, before normalisation. */
export interface DecodedImage {
  /** Interleaved RGB bytes [crop, crop, 3]. */
  pixels: Uint8Array;
  /** The size of the picture itself, upright. */
  width: number;
  height: number;
}

/**
 * Decodes a picture of any format that sharp reads, sets it upright by its EXIF orientation, takes the first frame of
 * an animation, composites transparency on the transform's background, turns it into 8-bit RGB, resizes and crops.
 *
 * A picture may take 60 s and 2 GiB. Large ones, and those that are no pixels but SVG, are decoded in a process of their own,
 * one by one: nothing stops a decoder but the end of its process.
 *
 * Colour profiles are ignored, as Pillow and so torchvision do. torchvision alone does not apply the orientation.
 * @throws {LastlayerError} where the bytes are no readable, complete picture, or none that the options allow; the message
 *   says why
 */
export async function decodeImage(
  image: Uint8Array | RawPixels,
  transform: Transform,
  options: DecodeOptions = {},
): Promise<DecodedImage> {
  const [center] = await decodeViews(image, transform, ['center'], options);
  if (!center) throw new RangeError('A view was asked for and none was made.');
  return center;
}

/**
 * As {@link decodeImage}, several views of the picture out of one decoding. `center` is the same to the bit whatever other
 * views there are.
 * @returns the views in the given order
 * @throws {LastlayerError} as {@link decodeImage} does
 */
export async function decodeViews(
  image: Uint8Array | RawPixels,
  transform: Transform,
  views: readonly View[],
  options: DecodeOptions = {},
): Promise<DecodedImage[]> {
  const { rendered, width, height, hasAlpha } = await openPicture(image, options);
  const recipe = { background: transform.background, hasAlpha, seconds: options.seconds ?? SECONDS };
  const places = [...new Set(views.map((view) => placeOf(view).place))];
  const squares = await squaresOf(
    (change) => rendered({ ...recipe, ...change }),
    { width, height },
    transform,
    places,
  );
  return views.map((view) => {
    const { place, mirrored } = placeOf(view);
    const square = squares[places.indexOf(place)] ?? new Uint8Array();
    return { pixels: mirrored ? mirror(square, transform.crop) : square, width, height };
  });
}

/**
 * As {@link decodeImage}, but the whole picture at its own size.
 * @param background what shows through transparent pixels
 * @returns interleaved RGB bytes [height, width, 3]
 * @throws {LastlayerError} as {@link decodeImage} does
 */
export async function decodeWhole(image: Uint8Array, background: string): Promise<RawPixels> {
  const { rendered, width, height, hasAlpha } = await openPicture(image, {});
  const data = await rendered({ background, hasAlpha, seconds: SECONDS });
  return { data, width, height, channels: 3 };
}

/**
 * As {@link decodeWhole}, but made smaller where a side is longer than `side`.
 * @throws {LastlayerError} as {@link decodeImage} does
 */
export async function decodeWithin(image: Uint8Array, side: number, background: string): Promise<RawPixels> {
  const { rendered, width, height, hasAlpha } = await openPicture(image, {});
  const scale = Math.min(1, side / Math.max(width, height));
  const scaled = (length: number) => Math.max(1, Math.round(scale * length));
  const resize = { width: scaled(width), height: scaled(height) };
  const data = await rendered({ background, hasAlpha, seconds: SECONDS, resize });
  return { data, ...resize, channels: 3 };
}

/** Pictures of the same transform as one batch, [images, crop, crop, 3]. */
export function joinPixels(images: readonly DecodedImage[]): Uint8Array<ArrayBuffer> {
  const batch = new Uint8Array(images.reduce((length, { pixels }) => length + pixels.length, 0));
  let position = 0;
  for (const { pixels } of images) {
    batch.set(pixels, position);
    position += pixels.length;
  }
  return batch;
}

/** The squares at some places of the resized picture, [crop, crop, 3] each. */
async function squaresOf(
  rendered: (change: Pick<Recipe, 'resize' | 'extract'>) => Promise<Uint8Array>,
  original: { width: number; height: number },
  transform: Transform,
  places: readonly Place[],
): Promise<Uint8Array[]> {
  const { resize, crop } = transform;
  const { width, height } = original;
  const size = resizedSize(width, height, resize);
  const offsets = places.map((place) => offsetOf(place, size, transform));
  if (Math.min(width, height) < resize) {
    const pixels = await rendered({});
    return offsets.map((offset) => enlargeAndCrop(pixels, original, transform, offset));
  }
  const [only, second] = offsets;
  if (only && !second) {
    return [await rendered({ resize: size, extract: { ...only, width: crop, height: crop } })];
  }
  const pixels = await rendered({ resize: size });
  return offsets.map((offset) => cut(pixels, size.width, offset, crop));
}
