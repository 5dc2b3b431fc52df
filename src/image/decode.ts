import { Semaphore } from 'async-mutex';
import { type Header, headerOf, type Recipe, render } from './render.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { isolated, reasonIn, tooSlow } from './isolated.js';
import { enlargeAndCrop, resizedSize, type Transform } from './transform.js';
import { cut, mirror, offsetOf, type Place, placeOf, type View } from './views.js';

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

/** Pixels that are already decoded: `channels` bytes a pixel, rows from the top. */
export interface RawPixels {
  data: Uint8Array;
  width: number;
  height: number;
  /** 1 grey, 3 RGB, 4 RGBA */
  channels: 1 | 3 | 4;
}

/** What is asked of pictures that come from strangers. */
interface DecodeOptions {
  /** The most pixels that a picture may have; by default sharp's limit, 268 million. */
  maxPixels?: number | undefined;
  /** Whether SVG is taken, of which a small file can ask for any amount of work. Default: true. */
  svg?: boolean | undefined;
  /** The longest that decoding may take. Default: 60. */
  seconds?: number | undefined;
}

/** How long a picture's decoding may take. */
const SECONDS = 60;

/** Bytes that pictures which are decoded side by side in this process take, decoded: at most 1 GiB, in shares of 16 MiB. */
const SHARE = 2 ** 24;
const SHARES = 64;
const decoding = new Semaphore(SHARES);

/** What takes more, decoded, has a process of its own: some 90 megapixels. */
const MOST_BYTES_HERE = 2 ** 28;

/** What takes more is refused: as much as 268 million pixels, sharp's limit, of four channels and 16 bits. */
const MOST_BYTES = 2 ** 31;

/**
 * What a picture says of itself, and what decodes it.
 * @throws {LastlayerError} where it says nothing sensible, or more than is taken
 */
async function openPicture(
  image: Uint8Array | RawPixels,
  { maxPixels, svg = true, seconds = SECONDS }: DecodeOptions,
): Promise<Header & { rendered: (recipe: Recipe) => Promise<Uint8Array> }> {
  const header = await headerHereOrElsewhere(image, svg, seconds);
  const { width, height, bytes } = header;
  if (maxPixels !== undefined && width * height > maxPixels) {
    throw new LastlayerError(
      `its ${width} × ${height} pixels are more than the ${Math.floor(maxPixels / 1e6)} million that are taken here`,
    );
  }
  if (bytes > MOST_BYTES) {
    throw new LastlayerError(
      `its ${width} × ${height} pixels take ${(bytes / 2 ** 30).toFixed(1)} GiB; up to ${MOST_BYTES / 2 ** 30} GiB are taken`,
    );
  }
  const apart = image instanceof Uint8Array && (bytes > MOST_BYTES_HERE || !isRaster(image));
  const shares = Math.min(Math.ceil(bytes / SHARE), SHARES);
  return {
    ...header,
    rendered: (recipe) =>
      apart ? isolated.render(image, recipe) : here(() => render(image, recipe), shares, recipe.seconds),
  };
}

async function headerHereOrElsewhere(
  image: Uint8Array | RawPixels,
  svg: boolean,
  seconds: number,
): Promise<Header> {
  if (!(image instanceof Uint8Array)) refuseWrongLength(image);
  else if (image.length === 0) throw new LastlayerError('the file is empty');
  else if (!isRaster(image)) {
    if (svg) return isolated.header(image, seconds);
    throw new LastlayerError('it is no JPEG, PNG, WebP, GIF, TIFF or AVIF, and SVG is not taken here');
  }
  const plain = image instanceof Uint8Array ? headerOfPlainJpeg(image) : undefined;
  return plain ?? here(() => headerOf(image), 1, seconds);
}

function refuseWrongLength({ data, width, height, channels }: RawPixels): void {
  if (data.length === width * height * channels) return;
  throw new LastlayerError(
    `raw pixels: ${width} × ${height} × ${channels} takes ${width * height * channels} bytes, ${data.length} were given`,
  );
}

/**
 * Runs a step of decoding in this process, and where that fails once more while no other runs: libvips keeps one list of
 * errors for all threads, so that of pictures decoded side by side one may be given the reason of another, or none.
 */
async function here<T>(step: () => Promise<T>, shares: number, seconds: number): Promise<T> {
  try {
    return await decoding.runExclusive(step, shares);
  } catch (error) {
    if (TIMEOUT.test(messageOf(error))) throw tooSlow(seconds);
  }
  try {
    return await decoding.runExclusive(step, SHARES);
  } catch (error) {
    throw TIMEOUT.test(messageOf(error)) ? tooSlow(seconds) : new LastlayerError(reasonIn(messageOf(error)));
  }
}

/** How libvips begins to say that it was stopped. */
const TIMEOUT = /^timeout: /;

/** The formats whose decoders do an amount of work that the picture's size bounds, by how their files begin. */
const BEGINNINGS: readonly RegExp[] = [
  /^\xff\xd8\xff/, // JPEG
  /^\x89PNG\r\n/,
  /^GIF8[79]a/,
  /^RIFF[^]{4}WEBP/,
  /^(?:II[*+]\0|MM\0[*+])/, // TIFF
  /^[^]{4}ftyp/, // AVIF, HEIC
];

/** Whether the bytes are of one of the usual formats of pixels; what is not may be SVG, which is a program rather. */
export function isRaster(bytes: Uint8Array): boolean {
  const beginning = Buffer.from(bytes.subarray(0, 16)).toString('latin1');
  return BEGINNINGS.some((pattern) => pattern.test(beginning));
}

/** Markers of frame headers that hold a size: baseline, extended sequential and progressive. */
const FRAMES = new Set([0xc0, 0xc1, 0xc2]);

/** The marker under which Exif is kept. */
const APP1 = 0xe1;

/** Markers of segments that may come before the frame header: tables, restart interval, application data, comment. */
function mayPrecede(marker: number): boolean {
  return marker === 0xc4 || (marker >= 0xdb && marker <= 0xef && marker !== APP1) || marker === 0xfe;
}

/**
 * What the frame header of a JPEG says (ITU-T T.81, B.1.1 and B.2.2), which costs a hundredth of opening it.
 * @returns undefined where the decoder itself has to be asked: of another format, of damaged bytes, and of a JPEG with
 *   Exif or XMP, which may turn it
 */
export function headerOfPlainJpeg(bytes: Uint8Array): Header | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.byteLength < 2 || view.getUint16(0) !== 0xffd8) return undefined;
  for (let at = 2; at + 10 <= view.byteLength && view.getUint8(at) === 0xff;) {
    const marker = view.getUint8(at + 1);
    if (FRAMES.has(marker)) {
      const [height, width, channels] = [
        view.getUint16(at + 5),
        view.getUint16(at + 7),
        view.getUint8(at + 9),
      ];
      if (width === 0 || height === 0) return undefined;
      return { format: 'jpeg', width, height, hasAlpha: false, bytes: width * height * channels };
    }
    if (!mayPrecede(marker)) return undefined;
    at += 2 + view.getUint16(at + 2);
  }
  return undefined;
}
