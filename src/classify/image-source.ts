import { stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { isAnyArrayBuffer, isUint8Array } from 'node:util/types';
import type { Sharp } from 'sharp';
import { MAX_BYTES, readPictureFile } from '../data/read.js';
import { fetchPicture } from '../data/url.js';
import { FileMemory } from '../embed/reader.js';
import { type DecodedImage, decodeViews, type RawPixels } from '../image/decode.js';
import type { Transform } from '../image/transform.js';
import type { View } from '../image/views.js';
import { LastlayerError, messageOf, UsageError, withCode } from '../util/errors.js';

/**
 * A picture:
 * - the path of a file, or a URL (`file:`, `http:`, `https:`), as text or as an object;
 * - the bytes of a file: a `Uint8Array` such as a `Buffer`, an `ArrayBuffer`, a `Blob` or `File`, or a stream, web or Node, which is
 *   read to its end;
 * - a sharp instance: the picture that its pipeline gives. Call `autoOrient()` for one that is upright, as a file would be read;
 * - {@link RawPixels}.
 */
export type ImageSource =
  string | URL | Uint8Array | ArrayBuffer | Blob | ReadableStream<Uint8Array> | Readable | Sharp | RawPixels;

const memory = new FileMemory();

/**
 * The views of a picture, ready for a backbone.
 * @throws {LastlayerError} if the picture cannot be read; the message names a file or an address
 * @throws {UsageError} if it is something else
 */
export async function decodeSource(
  image: ImageSource,
  transform: Transform,
  views: readonly View[] = ['center'],
): Promise<DecodedImage[]> {
  const place = placeOf(image);
  return withCode('PICTURE_UNREADABLE', async () => {
    if (place === undefined) return decodeViews(await contentOf(image), transform, views);
    const { name, isFile } = place;
    return memory.run(isFile ? await sizeOf(name) : 0, async () => {
      const bytes = await (isFile ? readPictureFile(name) : bytesAt(name)).catch((error: unknown) => {
        throw new LastlayerError(`${name} cannot be read: ${messageOf(error)}.`);
      });
      return decodeViews(bytes, transform, views).catch((error: unknown) => {
        throw new LastlayerError(`${name} is no readable picture: ${messageOf(error)}.`);
      });
    });
  });
}

/** @returns 0 if there is no such file: reading it tells */
async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

const WEB = /^https?:\/\//i;

/** Where a picture is: in a file or at an address; undefined if it is at hand. */
export function placeOf(image: ImageSource): { name: string; isFile: boolean } | undefined {
  if (typeof image !== 'string' && !isUrl(image)) return undefined;
  const text = String(image);
  if (/^file:\/\//i.test(text)) return { name: fileURLToPath(text), isFile: true };
  if (WEB.test(text)) return { name: text, isFile: false };
  return { name: text, isFile: typeof image === 'string' };
}

async function bytesAt(url: string): Promise<Uint8Array> {
  if (!WEB.test(url)) throw new LastlayerError('a URL must begin with file:, http: or https:');
  return (await fetchPicture(url)).bytes;
}

/** The bytes or pixels of a picture that is at hand. It is not asked for its class, of which a program may have another copy. */
async function contentOf(image: unknown): Promise<Uint8Array | RawPixels> {
  if (isUint8Array(image)) return image;
  if (isAnyArrayBuffer(image)) return new Uint8Array(image);
  if (typeof image === 'object' && image !== null) {
    if (isSharp(image)) return pixelsOf(image);
    if (isRawPixels(image)) return image;
    if (isBlob(image)) return new Uint8Array(await image.arrayBuffer());
    if (isStream(image)) return bytesOf(image);
  }
  throw new UsageError(
    'A picture is expected: a path, a URL, bytes, a Blob, a stream, a sharp instance or { data, width, height, channels }.',
  );
}

export function isUrl(image: unknown): image is URL {
  return typeof image === 'object' && image !== null && 'href' in image && 'protocol' in image;
}

function isBlob(image: object): image is Blob {
  return 'arrayBuffer' in image && typeof image.arrayBuffer === 'function';
}

function isStream(image: object): image is AsyncIterable<unknown> {
  return Symbol.asyncIterator in image;
}

async function bytesOf(stream: AsyncIterable<unknown>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const chunk of stream) {
      if (!isUint8Array(chunk)) throw new LastlayerError('it gives something else than bytes');
      length += chunk.length;
      if (length > MAX_BYTES) throw new LastlayerError(`it is larger than ${MAX_BYTES / 2 ** 20} MiB`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw new LastlayerError(`The stream of a picture cannot be read: ${messageOf(error)}.`);
  }
  return Buffer.concat(chunks);
}

function isSharp(image: object): image is Sharp {
  return ['clone', 'metadata', 'toBuffer'].every((name) => typeof Reflect.get(image, name) === 'function');
}

async function pixelsOf(image: Sharp): Promise<RawPixels> {
  try {
    const { data, info } = await image
      .clone()
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    return { data, width, height, channels: channels as RawPixels['channels'] };
  } catch (error) {
    throw new LastlayerError(`The sharp instance gives no picture: ${messageOf(error)}.`);
  }
}

function isRawPixels(image: object): image is RawPixels {
  return (
    'data' in image &&
    isUint8Array(image.data) &&
    ['width', 'height'].every((name) => Number.isInteger(Reflect.get(image, name))) &&
    [1, 3, 4].includes(Number(Reflect.get(image, 'channels')))
  );
}
