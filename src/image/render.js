// @ts-check
/**
 * The steps of decoding that sharp does, or another decoder for formats that sharp cannot read. Plain JavaScript, so that
 * isolated-process.js starts without a loader even where the sources run as they are.
 */
import { Buffer } from 'node:buffer';
import { createRequire } from 'node:module';

/**
 * @typedef {import('./decode.js').RawPixels} RawPixels
 *
 * @typedef {object} Header What a picture claims, before its pixels are decoded.
 * @property {number} width upright
 * @property {number} height upright
 * @property {boolean} hasAlpha
 * @property {boolean} isCmyk whether it has the four inks of a printer, in 8 bits each
 * @property {number} bytes that its decoded pixels take
 *
 * @typedef {object} Recipe
 * @property {string} background shows through transparent pixels
 * @property {boolean} hasAlpha as the header says
 * @property {boolean} isCmyk as the header says
 * @property {number} seconds the longest that it may take; libvips checks only between its steps
 * @property {{ width: number, height: number }} [resize]
 * @property {{ left: number, top: number, width: number, height: number }} [extract] cut out after resizing
 */

/** Required, as `import` takes twice as long to load it. @type {import('sharp').SharpConstructor} */
export const sharp = createRequire(import.meta.url)('sharp');

/** sharp caches recent operations, which a single pass over many files never uses again. */
sharp.cache(false);

/** Pictures are decoded beside each other, so several threads for one of them only cost: a tenth, on two cores. */
sharp.concurrency(1);

/** Bytes of a sample, by libvips's type. @type {Record<string, number>} */
const BYTES = {
  uchar: 1,
  char: 1,
  ushort: 2,
  short: 2,
  uint: 4,
  int: 4,
  float: 4,
  complex: 8,
  double: 8,
  dpcomplex: 16,
};

/** The decoders of what sharp cannot read. Each is loaded for the first picture that needs it. */
const OTHER_DECODERS = [
  { isFormat: isHeic, load: () => import('./heic.js') },
  { isFormat: isBmp, load: () => import('./bmp.js') },
];

/** Whether a picture is of a format that sharp cannot read, but another decoder. @param {Uint8Array} bytes */
export function hasOtherDecoder(bytes) {
  return OTHER_DECODERS.some(({ isFormat }) => isFormat(bytes));
}

/**
 * Whether the brands of a file (ISO/IEC 14496-12, 4.3) say HEIC, or HEIF without saying what codec. AVIF is HEIF, too.
 * @param {Uint8Array} bytes
 */
function isHeic(bytes) {
  const beginning = Buffer.from(bytes.subarray(0, 256));
  if (beginning.toString('latin1', 4, 8) !== 'ftyp') return false;
  const brands = beginning.toString('latin1', 8, beginning.readUInt32BE(0));
  return /hei[cxms]|hev[cxms]/.test(brands) || (/mif1|msf1/.test(brands) && !/avi[fs]/.test(brands));
}

/** Sizes of the headers of BMP's versions. */
const BMP_HEADERS = [12, 16, 40, 52, 56, 64, 108, 124];

/** @param {Uint8Array} bytes */
function isBmp(bytes) {
  if (bytes.length < 26 || bytes[0] !== 0x42 || bytes[1] !== 0x4d) return false;
  return BMP_HEADERS.includes(Buffer.from(bytes.subarray(14, 18)).readUInt32LE());
}

/** @param {Uint8Array | RawPixels} image */
async function otherDecoder(image) {
  if (!(image instanceof Uint8Array)) return undefined;
  return OTHER_DECODERS.find(({ isFormat }) => isFormat(image))?.load();
}

/**
 * @param {Uint8Array | RawPixels} image
 * @returns {Promise<Header>}
 */
export async function headerOf(image) {
  const other = await otherDecoder(image);
  if (other) return other.headerOf(/** @type {Uint8Array} */ (image));
  const { autoOrient, hasAlpha, space, channels, depth } = await open(image).metadata().catch(inPlainWords);
  const { width, height } = autoOrient;
  const isCmyk = space === 'cmyk' && channels === 4 && depth === 'uchar';
  return { width, height, hasAlpha, isCmyk, bytes: width * height * channels * (BYTES[depth] ?? 8) };
}

/**
 * The first frame, upright, opaque, in 8-bit RGB, without colour profile, resized and cut as the recipe says.
 * @param {Uint8Array | RawPixels} image
 * @param {Recipe} recipe
 * @returns {Promise<Buffer>} interleaved RGB bytes
 */
export async function render(image, { background, hasAlpha, isCmyk, seconds, resize, extract }) {
  const other = await otherDecoder(image);
  const read = other ? other.decode(/** @type {Uint8Array} */ (image)) : isCmyk ? rgbOfCmyk(image, seconds) : image;
  const source = await read;
  const upright = open(source).timeout({ seconds }).autoOrient();
  const opaque = hasAlpha ? upright.flatten({ background }) : upright;
  const rgb = opaque.toColourspace('srgb').removeAlpha().raw({ depth: 'uchar' });
  // Without fastShrinkOnLoad, decoding shrinks a JPEG only so far that the filter still has work to do. On photographs of
  // 3 to 5 megapixels, the largest difference from Pillow is 2 to 6 grey levels, against 9 to 23 with it.
  if (resize) rgb.resize({ ...resize, fit: 'fill', kernel: 'linear', fastShrinkOnLoad: false });
  if (extract) rgb.extract(extract);
  return rgb.toBuffer().catch(inPlainWords);
}

/**
 * The upright pixels of a picture in CMYK, as Pillow converts them: light goes through the black and then each ink as through a
 * filter, (255 - K) (255 - C) / 255. libvips would take a colour profile of its own, which is about 25 grey levels off.
 * @param {Uint8Array | RawPixels} image
 * @param {number} seconds
 * @returns {Promise<RawPixels>}
 */
async function rgbOfCmyk(image, seconds) {
  const inks = open(image).timeout({ seconds }).autoOrient().pipelineColourspace('cmyk').toColourspace('cmyk');
  const { data: cmyk, info } = await inks
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
    .catch(inPlainWords);
  const data = new Uint8Array(info.width * info.height * 3);
  for (let from = 0, to = 0; to < data.length; from++) {
    const light = 255 - (cmyk[from + 3] ?? 0);
    for (const end = to + 3; to < end; to++) {
      data[to] = light - Math.round(((cmyk[from++] ?? 0) * light) / 255);
    }
  }
  return { data, width: info.width, height: info.height, channels: 3 };
}

/** How libvips reports that it ran out of time. */
export const TIMEOUT = /^timeout: /;

/**
 * @param {Error} error libvips's, which reports one problem in several lines, repeats them, or has none
 * @returns {never}
 */
function inPlainWords({ message }) {
  const [reason = ''] = message.trim().split('\n');
  if (TIMEOUT.test(reason)) throw new Error(reason);
  if (reason.includes('unsupported image format')) throw new Error('it is no picture, or of a kind that is not read');
  if (reason.includes('exceeds pixel limit')) throw new Error('it has more pixels than the 268 million that are read');
  throw new Error(`it is damaged, incomplete or of a rare kind${reason && ` (libvips: ${reason})`}`);
}

/** @param {Uint8Array | RawPixels} image */
function open(image) {
  // Warnings are mostly about metadata, and Pillow reads such files too; a truncated picture is an error.
  const options = /** @type {const} */ ({ failOn: 'error', ignoreIcc: true, pages: 1 });
  if (image instanceof Uint8Array) return sharp(image, options);
  const { data, width, height, channels } = image;
  return sharp(data, { ...options, raw: { width, height, channels } });
}
