// @ts-check
/** BMP, which sharp's prebuilt libvips cannot decode: by Rust's image crate in WebAssembly, from the package photon. */
import { PhotonImage } from '@silvia-odwyer/photon-node';

/**
 * @param {Uint8Array} bytes
 * @returns {import('./render.js').Header}
 */
export function headerOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isOfOs2 = view.getUint32(14, true) === 12;
  const width = isOfOs2 ? view.getUint16(18, true) : view.getInt32(18, true);
  // A negative height says that the rows begin at the top.
  const height = isOfOs2 ? view.getUint16(20, true) : Math.abs(view.getInt32(22, true));
  if (width <= 0 || height === 0) throw new Error(`the BMP claims to have ${width} × ${height} pixels`);
  return { width, height, hasAlpha: true, isCmyk: false, bytes: width * height * 4 };
}

/**
 * @param {Uint8Array} bytes
 * @returns {import('./decode.js').RawPixels}
 */
export function decode(bytes) {
  const image = read(bytes);
  const [data, width, height] = [image.get_raw_pixels(), image.get_width(), image.get_height()];
  image.free();
  return { data, width, height, channels: 4 };
}

/** @param {Uint8Array} bytes */
function read(bytes) {
  try {
    return PhotonImage.new_from_byteslice(bytes);
  } catch {
    // Rust ends a program where another language would throw, so there is no reason to pass on.
    throw new Error('the BMP is damaged, very large, or of a kind that is not read');
  }
}
