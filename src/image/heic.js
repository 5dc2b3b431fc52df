// @ts-check
/** HEIC, which sharp's prebuilt libvips cannot decode: by libheif in WebAssembly. */
import libheif from 'libheif-js/libheif-wasm/libheif.js';

/**
 * @typedef {import('libheif-js/libheif-wasm/libheif.js').MainModule} Libheif
 * @typedef {import('libheif-js/libheif-wasm/libheif.js').heif_image_handle} Handle
 */

/**
 * The header of the primary picture, upright by its own turns and mirrors: the file's EXIF orientation repeats them.
 * @param {Uint8Array} bytes
 * @returns {Promise<import('./render.js').Header>}
 */
export async function headerOf(bytes) {
  const { width, height, channels } = await open(bytes);
  return { width, height, hasAlpha: channels === 4, isCmyk: false, bytes: width * height * channels };
}

/**
 * The primary picture, upright, in 8 bits, without colour profile.
 * @param {Uint8Array} bytes
 * @returns {Promise<import('./decode.js').RawPixels>}
 */
export async function decode(bytes) {
  const { library, handle, width, height, channels } = await open(bytes);
  const { heif_colorspace_RGB } = library.heif_colorspace;
  const { heif_chroma_interleaved_RGB, heif_chroma_interleaved_RGBA } = library.heif_chroma;
  const chroma = channels === 4 ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB;
  const decoded = checked(await library.heif_js_decode_image2(handle, heif_colorspace_RGB, chroma));
  const [{ data, stride, ...size }] = decoded.channels;
  if (size.width !== width || size.height !== height) {
    throw new Error(`the HEIC holds ${size.width} × ${size.height} pixels where its header says ${width} × ${height}`);
  }
  const row = width * channels;
  const packed = new Uint8Array(height * row);
  for (let y = 0; y < height; y++) packed.set(data.subarray(y * stride, y * stride + row), y * row);
  return { data: packed, width, height, channels };
}

/**
 * Opens a file in an instance of libheif of its own, so that neither memory nor damage is left to the next file.
 * @param {Uint8Array} bytes
 */
async function open(bytes) {
  // The types are those of an ES module, the file is CommonJS.
  const start = /** @type {() => Promise<Libheif>} */ (/** @type {unknown} */ (libheif));
  const library = await start();
  const context = library.heif_context_alloc();
  const { code, message } = library.heif_context_read_from_memory(context, bytes);
  if (code !== library.heif_error_code.heif_error_Ok) throw damaged(message);
  /** @type {Handle} */
  const handle = checked(library.heif_js_context_get_primary_image_handle(context));
  const width = library.heif_image_handle_get_width(handle);
  const height = library.heif_image_handle_get_height(handle);
  const channels = /** @type {3 | 4} */ (library.heif_image_handle_has_alpha_channel(handle) ? 4 : 3);
  return { library, handle, width, height, channels };
}

/** What libheif gives in place of a result, if it fails, has a code. @param {any} result */
function checked(result) {
  if (result.code !== undefined) throw damaged(result.message);
  return result;
}

/** @param {unknown} message libheif's */
function damaged(message) {
  return new Error(`the HEIC is damaged, or of a kind that libheif does not decode (${String(message).trim()})`);
}
