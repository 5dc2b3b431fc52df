// @ts-check
/**
 * The steps of decoding that sharp does. Plain JavaScript, so that the process of isolated-process.js starts without a loader
 * wherever the sources run as they are.
 */
import sharp from 'sharp';

/**
 * @typedef {import('./decode.js').RawPixels} RawPixels
 *
 * @typedef {object} Header What a picture says of itself, before a pixel of it is decoded.
 * @property {string} format as sharp names it, e.g. `jpeg`
 * @property {number} width upright
 * @property {number} height upright
 * @property {boolean} hasAlpha
 * @property {number} bytes that its pixels take, decoded
 *
 * @typedef {object} Recipe
 * @property {string} background what shows through transparent pixels
 * @property {boolean} hasAlpha as the header says
 * @property {number} seconds the longest that it may take; libvips looks at it between its steps alone
 * @property {{ width: number, height: number }} [resize]
 * @property {{ left: number, top: number, width: number, height: number }} [extract] cut out after resizing
 */

/** sharp keeps a cache of recent operations, which a single pass over many files never uses again. */
sharp.cache(false);

/** Bytes of a number of each type that libvips knows. @type {Record<string, number>} */
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

/**
 * @param {Uint8Array | RawPixels} image
 * @returns {Promise<Header>}
 */
export async function headerOf(image) {
  const { autoOrient, hasAlpha, format, channels, depth } = await open(image).metadata();
  const { width, height } = autoOrient;
  return { format, width, height, hasAlpha, bytes: width * height * channels * (BYTES[depth] ?? 8) };
}

/**
 * The picture upright, opaque, in 8-bit RGB, resized and cut as the recipe says; its first frame, without colour profile.
 * @param {Uint8Array | RawPixels} image
 * @param {Recipe} recipe
 * @returns {Promise<Buffer>} interleaved RGB bytes
 */
export async function render(image, { background, hasAlpha, seconds, resize, extract }) {
  const upright = open(image).timeout({ seconds }).autoOrient();
  const opaque = hasAlpha ? upright.flatten({ background }) : upright;
  const rgb = opaque.toColourspace('srgb').removeAlpha().raw({ depth: 'uchar' });
  // Off, a JPEG is shrunk while it is decoded only as far as leaves the filter its work: measured on photographs of
  // 3 to 5 megapixels, 2 to 6 grey levels at most from Pillow, against 9 to 23.
  if (resize) rgb.resize({ ...resize, fit: 'fill', kernel: 'linear', fastShrinkOnLoad: false });
  if (extract) rgb.extract(extract);
  return rgb.toBuffer();
}

/** @param {Uint8Array | RawPixels} image */
function open(image) {
  // Warnings are about metadata, mostly, and Pillow too reads such files; a truncated picture is an error.
  const options = /** @type {const} */ ({ failOn: 'error', ignoreIcc: true, pages: 1 });
  if (image instanceof Uint8Array) return sharp(image, options);
  const { data, width, height, channels } = image;
  return sharp(data, { ...options, raw: { width, height, channels } });
}
