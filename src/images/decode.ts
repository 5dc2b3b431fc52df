import { Semaphore } from 'async-mutex';
import sharp, { type Sharp } from 'sharp';
import { LastlayerError, messageOf } from '../errors.js';
import { enlargeAndCrop } from './enlarge.js';
import { sizeOfPlainJpeg } from './jpeg-size.js';
import { resizedSize, type Transform } from './transform.js';
import { cut, mirror, offsetOf, placeOf, type Place, type View } from './views.js';

/** Pixels that are already decoded: `channels` bytes a pixel, rows from the top. */
export interface RawPixels {
  data: Uint8Array;
  width: number;
  height: number;
  /** 1 grey, 3 RGB, 4 RGBA */
  channels: 1 | 3 | 4;
}

/** A picture as the network wants it, before normalisation. */
export interface DecodedImage {
  /** Interleaved RGB bytes [crop, crop, 3]. */
  pixels: Uint8Array;
  /** The size of the picture itself, upright. */
  width: number;
  height: number;
}

/** What is asked of pictures that come from strangers. */
export interface DecodeOptions {
  /** The most pixels that a picture may have; by default sharp's limit, 268 million. */
  maxPixels?: number;
  /** Whether SVG is taken, of which a small file can ask for any amount of work. Default: true. */
  svg?: boolean;
}

/** sharp keeps a cache of recent operations, which a single pass over many files never uses again. */
sharp.cache(false);

/** More than libuv has threads for, as it comes. */
const DECODES_AT_ONCE = 64;
const decoding = new Semaphore(DECODES_AT_ONCE);

/**
 * Decodes a picture of any format that sharp reads, sets it upright by its EXIF orientation, takes the first frame of
 * an animation, composites transparency on the transform's background, turns it into 8-bit RGB, resizes and crops.
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
  return withItsReason(() => decode(image, transform, views, options));
}

/**
 * As {@link decodeImage}, but the whole picture at its own size.
 * @param background what shows through transparent pixels
 * @returns interleaved RGB bytes [height, width, 3]
 * @throws {LastlayerError} as {@link decodeImage} does
 */
export async function decodeWhole(image: Uint8Array, background: string): Promise<RawPixels> {
  return withItsReason(async () => {
    const { rgb, width, height } = await uprightRgb(image, background);
    return { data: await rgb.toBuffer(), width, height, channels: 3 };
  });
}

/**
 * Decodes, and where that fails once more while nothing else does: libvips keeps one list of errors for all threads, so that
 * of pictures decoded side by side one may be given the reason of another, or none.
 */
async function withItsReason<T>(decode: () => Promise<T>): Promise<T> {
  try {
    return await decoding.runExclusive(decode);
  } catch (error) {
    if (error instanceof LastlayerError) throw error;
  }
  try {
    return await decoding.runExclusive(decode, DECODES_AT_ONCE);
  } catch (error) {
    throw new LastlayerError(reasonOf(error));
  }
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

async function decode(
  image: Uint8Array | RawPixels,
  transform: Transform,
  views: readonly View[],
  options: DecodeOptions,
): Promise<DecodedImage[]> {
  const { rgb, width, height } = await uprightRgb(image, transform.background, options);
  const places = [...new Set(views.map((view) => placeOf(view).place))];
  const squares = await squaresOf(rgb, { width, height }, transform, places);
  return views.map((view) => {
    const { place, mirrored } = placeOf(view);
    const square = squares[places.indexOf(place)] ?? new Uint8Array();
    return { pixels: mirrored ? mirror(square, transform.crop) : square, width, height };
  });
}

/** The squares at some places of the resized picture, [crop, crop, 3] each. */
async function squaresOf(
  rgb: Sharp,
  original: { width: number; height: number },
  transform: Transform,
  places: readonly Place[],
): Promise<Uint8Array[]> {
  const { resize, crop } = transform;
  const { width, height } = original;
  const size = resizedSize(width, height, resize);
  const offsets = places.map((place) => offsetOf(place, size, transform));
  if (Math.min(width, height) < resize) {
    const pixels = await rgb.toBuffer();
    return offsets.map((offset) => enlargeAndCrop(pixels, original, transform, offset));
  }
  // Off, a JPEG is shrunk while it is decoded only as far as leaves the filter its work: measured on photographs of
  // 3 to 5 megapixels, 2 to 6 grey levels at most from Pillow, against 9 to 23.
  const resized = rgb.resize({ ...size, fit: 'fill', kernel: 'linear', fastShrinkOnLoad: false });
  const [only, second] = offsets;
  if (only && !second) return [await resized.extract({ ...only, width: crop, height: crop }).toBuffer()];
  const pixels = await resized.toBuffer();
  return offsets.map((offset) => cut(pixels, size.width, offset, crop));
}

function open(image: Uint8Array | RawPixels): Sharp {
  // Warnings are about metadata, mostly, and Pillow too reads such files; a truncated picture is an error.
  const options = { failOn: 'error', ignoreIcc: true, pages: 1 } as const;
  if (image instanceof Uint8Array) return sharp(image, options);
  const { data, width, height, channels } = image;
  if (data.length !== width * height * channels) {
    throw new LastlayerError(
      `raw pixels: ${width} × ${height} × ${channels} takes ${width * height * channels} bytes, ${data.length} were given`,
    );
  }
  return sharp(data, { ...options, raw: { width, height, channels } });
}

/** The picture upright, opaque and in 8-bit RGB, of which no pixel has been decoded yet. */
async function uprightRgb(
  image: Uint8Array | RawPixels,
  background: string,
  { maxPixels, svg = true }: DecodeOptions = {},
): Promise<{ rgb: Sharp; width: number; height: number }> {
  const picture = open(image);
  const { width, height, hasAlpha, format } = await headerOf(image, picture);
  if (!svg && format === 'svg') throw new LastlayerError('SVG is not taken here');
  if (maxPixels !== undefined && width * height > maxPixels) {
    throw new LastlayerError(
      `its ${width} × ${height} pixels are more than the ${Math.floor(maxPixels / 1e6)} million that are taken here`,
    );
  }
  const upright = picture.autoOrient();
  const opaque = hasAlpha ? upright.flatten({ background }) : upright;
  const rgb = opaque.toColourspace('srgb').removeAlpha().raw({ depth: 'uchar' });
  return { rgb, width, height };
}

/** What is known of a picture before it is decoded; its size is that of the upright picture. */
async function headerOf(
  image: Uint8Array | RawPixels,
  picture: Sharp,
): Promise<{ width: number; height: number; hasAlpha: boolean; format: string }> {
  const size = image instanceof Uint8Array ? sizeOfPlainJpeg(image) : undefined;
  if (size) return { ...size, hasAlpha: false, format: 'jpeg' };
  const { autoOrient, hasAlpha, format } = await picture.metadata();
  return { ...autoOrient, hasAlpha, format };
}

/** libvips reports one problem in several lines and repeats them; the first says it. */
function reasonOf(error: unknown): string {
  const [first = 'unreadable'] = messageOf(error).split('\n');
  return first.trim();
}
