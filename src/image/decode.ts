import { availableParallelism } from 'node:os';
import { Semaphore } from 'async-mutex';
import { LastlayerError, messageOf } from '../util/errors.js';
import { otherKind } from '../util/file-kind.js';
import { decodingError, isolated } from './isolated.js';
import { headerOfJpeg } from './jpeg-header.js';
import { hasOtherDecoder, type Header, headerOf, type Recipe, render, TIMEOUT } from './render.js';
import { mirror, pixelsOf, type Square } from './square.js';
import { resizedSize, type Transform } from './transform.js';
import { cut, offsetOf, type Place, placeOf, type View } from './views.js';

/** Pixels that are already decoded, rows from the top. */
export interface RawPixels {
  /** Interleaved bytes [height, width, channels]. */
  data: Uint8Array;
  width: number;
  height: number;
  /** 1 grey, 3 RGB, 4 RGBA */
  channels: 1 | 3 | 4;
}

/** A picture as the backbone takes it, before normalisation. */
export interface DecodedImage {
  /** Interleaved RGB bytes [crop, crop, 3]. */
  pixels: Uint8Array;
  /** The size of the original, upright. */
  width: number;
  height: number;
}

/** A {@link DecodedImage} that may still have to be enlarged. */
export interface DecodedSquare {
  square: Square;
  /** The size of the original, upright. */
  width: number;
  height: number;
}

/** Limits for pictures from strangers. */
interface DecodeOptions {
  /** The most pixels that a picture may have. @default sharp's limit, 268 million */
  maxPixels?: number | undefined;
  /** Whether to accept SVG, where a small file can cost any amount of work. @default true */
  svg?: boolean | undefined;
  /** The longest that decoding may take. @default 60 */
  seconds?: number | undefined;
}

/** The longest that decoding a picture may take by default. */
export const DECODE_SECONDS = 60;

/**
 * Decodes a picture of any format that sharp reads, HEIC or BMP: turns it upright by its EXIF orientation, takes the first frame of an
 * animation, composites transparency on the transform's background, converts to 8-bit RGB, resizes and crops.
 *
 * A picture may take 60 s and 2 GiB. Large pictures, HEIC, BMP and SVG are decoded in separate processes, as only ending its process
 * stops a decoder.
 *
 * Colour profiles are ignored, as in Pillow and so in torchvision. torchvision by itself does not apply the orientation.
 * @throws {LastlayerError} if the bytes are not a complete, readable picture, or exceed the options; the message says why
 */
export async function decodeImage(
  image: Uint8Array | RawPixels,
  transform: Transform,
  options: DecodeOptions = {},
): Promise<DecodedImage> {
  const [center] = await decodeViews(image, transform, ['center'], options);
  return center!;
}

/**
 * {@link decodeImage} for several views of a picture, which is decoded once. `center` is the same to the bit whatever the other views.
 * @returns the views in the given order
 * @throws {LastlayerError} as {@link decodeImage} does
 */
export async function decodeViews(
  image: Uint8Array | RawPixels,
  transform: Transform,
  views: readonly View[],
  options: DecodeOptions = {},
): Promise<DecodedImage[]> {
  const squares = await decodeSquares(image, transform, views, options);
  return squares.map(({ square, width, height }) => ({ pixels: pixelsOf(square, transform.crop), width, height }));
}

/**
 * {@link decodeViews} without enlarging small pictures, which takes longer than decoding them and can be done in another thread.
 * @throws {LastlayerError} as {@link decodeImage} does
 */
export async function decodeSquares(
  image: Uint8Array | RawPixels,
  transform: Transform,
  views: readonly View[],
  options: DecodeOptions = {},
): Promise<DecodedSquare[]> {
  const { render, width, height, hasAlpha, isCmyk } = await openPicture(image, options);
  const recipe = {
    background: transform.background,
    hasAlpha,
    isCmyk,
    seconds: options.seconds ?? DECODE_SECONDS,
  };
  const places = [...new Set(views.map((view) => placeOf(view).place))];
  const squares = await squaresOf((change) => render({ ...recipe, ...change }), { width, height }, transform, places);
  return views.map((view) => {
    const { place, mirrored } = placeOf(view);
    const square = squares[places.indexOf(place)]!;
    if (!(square instanceof Uint8Array)) return { square: { ...square, mirrored }, width, height };
    return { square: mirrored ? mirror(square, transform.crop) : square, width, height };
  });
}

/**
 * {@link decodeImage} for the whole picture, at its own size or made smaller.
 * @param background shows through transparent pixels
 * @param side the most pixels that the longer side may have
 * @returns RGB pixels
 * @throws {LastlayerError} as {@link decodeImage} does
 */
export async function decodeWhole(image: Uint8Array, background: string, side = Infinity): Promise<RawPixels> {
  const { render, width, height, hasAlpha, isCmyk } = await openPicture(image, {});
  const recipe = { background, hasAlpha, isCmyk, seconds: DECODE_SECONDS };
  const scale = side / Math.max(width, height);
  if (scale >= 1) return { data: await render(recipe), width, height, channels: 3 };
  const scaled = (length: number) => Math.max(1, Math.round(scale * length));
  const resize = { width: scaled(width), height: scaled(height) };
  return { data: await render({ ...recipe, resize }), ...resize, channels: 3 };
}

/** Joins pictures of one transform into a batch, [images, crop, crop, 3]. */
export function joinPixels(images: readonly DecodedImage[]): Uint8Array<ArrayBuffer> {
  const batch = new Uint8Array(images.reduce((length, { pixels }) => length + pixels.length, 0));
  let position = 0;
  for (const { pixels } of images) {
    batch.set(pixels, position);
    position += pixels.length;
  }
  return batch;
}

/** The squares at some places of the resized picture, not mirrored. */
async function squaresOf(
  render: (change: Pick<Recipe, 'resize' | 'extract'>) => Promise<Uint8Array>,
  original: { width: number; height: number },
  transform: Transform,
  places: readonly Place[],
): Promise<Square[]> {
  const { resize, crop } = transform;
  const { width, height } = original;
  const size = resizedSize(width, height, resize);
  const offsets = places.map((place) => offsetOf(place, size, transform));
  if (Math.min(width, height) < resize) {
    const pixels = await render({});
    return offsets.map((offset) => ({ pixels, width, height, size, offset, mirrored: false }));
  }
  const [only, second] = offsets;
  if (only && !second) {
    return [await render({ resize: size, extract: { ...only, width: crop, height: crop } })];
  }
  const pixels = await render({ resize: size });
  return offsets.map((offset) => cut(pixels, size.width, offset, crop));
}

/** Memory budget for concurrent decoding in this process: 1 GiB of decoded pixels, or 64 MiB for each core, in shares of 16 MiB. */
const SHARE = 2 ** 24;
const SHARES = Math.max(64, 4 * availableParallelism());
const budget = new Semaphore(SHARES);

/** Pictures that take more, decoded, get a separate process: some 90 megapixels. */
const MOST_BYTES_HERE = 2 ** 28;

/** sharp's limit for the pixels of a picture. */
const MOST_PIXELS = 0x3fff ** 2;

/** Pictures that take more, decoded, are refused: 268 million pixels (sharp's limit) with four channels of 16 bits take that much. */
const MOST_BYTES = 2 ** 31;

/**
 * Reads a picture's header and chooses where to decode the picture.
 * @throws {LastlayerError} if the header makes no sense, or claims more than is allowed
 */
async function openPicture(
  image: Uint8Array | RawPixels,
  { maxPixels = MOST_PIXELS, svg = true, seconds = DECODE_SECONDS }: DecodeOptions,
): Promise<Header & { render: (recipe: Recipe) => Promise<Uint8Array> }> {
  const header = await readHeader(image, svg, seconds).catch((error: unknown) => {
    throw explained(error, image);
  });
  const { width, height, bytes } = header;
  if (width * height > maxPixels) {
    throw new LastlayerError(
      `its ${width} × ${height} pixels are more than the ${Math.floor(maxPixels / 1e6)} million accepted here`,
    );
  }
  if (bytes > MOST_BYTES) {
    throw new LastlayerError(
      `its ${width} × ${height} pixels take ${(bytes / 2 ** 30).toFixed(1)} GiB decoded; the limit is ${MOST_BYTES / 2 ** 30} GiB`,
    );
  }
  const elsewhere = image instanceof Uint8Array && (bytes > MOST_BYTES_HERE || !isDecodedHere(image));
  const shares = Math.min(Math.ceil(bytes / SHARE), SHARES);
  return {
    ...header,
    render: async (recipe) => {
      try {
        return await (elsewhere
          ? isolated.render(image, recipe, bytes)
          : decodeHere(() => render(image, recipe), shares, recipe.seconds));
      } catch (error) {
        throw explained(error, image);
      }
    },
  };
}

/** The error for a picture, in words that help if it is of a kind that is known but not read. */
function explained(error: unknown, image: Uint8Array | RawPixels): unknown {
  const kind = error instanceof LastlayerError && image instanceof Uint8Array ? otherKind(image, 'picture') : undefined;
  return kind === undefined ? error : new LastlayerError(`it is ${kind}`);
}

async function readHeader(image: Uint8Array | RawPixels, svg: boolean, seconds: number): Promise<Header> {
  if (!(image instanceof Uint8Array)) refuseWrongLength(image);
  else if (image.length === 0) throw new LastlayerError('the file is empty');
  else if (!isDecodedHere(image)) {
    if (svg || hasOtherDecoder(image)) return isolated.header(image, seconds);
    throw new LastlayerError('it is not a JPEG, PNG, WebP, GIF, TIFF, AVIF, HEIC or BMP, and SVG is not accepted here');
  }
  const plain = image instanceof Uint8Array ? headerOfJpeg(image) : undefined;
  return plain ?? decodeHere(() => headerOf(image), 1, seconds);
}

function refuseWrongLength({ data, width, height, channels }: RawPixels): void {
  if (data.length === width * height * channels) return;
  throw new LastlayerError(
    `raw pixels: ${width} × ${height} × ${channels} takes ${width * height * channels} bytes, ${data.length} were given`,
  );
}

/**
 * Runs a decoding step in this process. A step that fails runs once more on its own: libvips keeps one list of errors for all
 * threads, so when pictures are decoded concurrently, one may get the error of another, or none.
 */
async function decodeHere<T>(step: () => Promise<T>, shares: number, seconds: number): Promise<T> {
  try {
    return await budget.runExclusive(step, shares);
  } catch (error) {
    if (TIMEOUT.test(messageOf(error))) throw decodingError(messageOf(error), seconds);
  }
  try {
    return await budget.runExclusive(step, SHARES);
  } catch (error) {
    throw decodingError(messageOf(error), seconds);
  }
}

/** How files begin that sharp reads, and whose decoders do an amount of work that the picture's size bounds. */
const RASTER_FORMATS: readonly RegExp[] = [
  /^\xff\xd8\xff/, // JPEG
  /^\x89PNG\r\n/,
  /^GIF8[79]a/,
  /^RIFF[^]{4}WEBP/,
  /^(?:II[*+]\0|MM\0[*+])/, // TIFF
  /^[^]{4}ftyp/, // AVIF
];

/** Whether sharp may decode a picture in this process. If not, it may be SVG, whose cost is unbounded, or has another decoder. */
export function isDecodedHere(bytes: Uint8Array): boolean {
  const beginning = Buffer.from(bytes.subarray(0, 16)).toString('latin1');
  return !hasOtherDecoder(bytes) && RASTER_FORMATS.some((pattern) => pattern.test(beginning));
}
