import { Semaphore } from 'async-mutex';
import { LastlayerError, messageOf } from '../errors.js';
import { isolated, reasonIn, tooSlow } from './isolated.js';
import { headerOfPlainJpeg } from './jpeg-header.js';
import { isRaster } from './raster.js';
import { headerOf, render, type Header, type Recipe } from './render.js';

/** Pixels that are already decoded: `channels` bytes a pixel, rows from the top. */
export interface RawPixels {
  data: Uint8Array;
  width: number;
  height: number;
  /** 1 grey, 3 RGB, 4 RGBA */
  channels: 1 | 3 | 4;
}

/** What is asked of pictures that come from strangers. */
export interface DecodeOptions {
  /** The most pixels that a picture may have; by default sharp's limit, 268 million. */
  maxPixels?: number;
  /** Whether SVG is taken, of which a small file can ask for any amount of work. Default: true. */
  svg?: boolean;
  /** The longest that decoding may take. Default: 60. */
  seconds?: number;
}

/** How long a picture's decoding may take. */
export const SECONDS = 60;

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
export async function openPicture(
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
