// @ts-check
/** Plain JavaScript, so that the threads of the backbone, which do this for many pictures, need no loader. */

/**
 * @typedef {Uint8Array | Enlargement} Square What the backbone sees of a picture: RGB bytes [crop, crop, 3], or how to get them.
 *
 * @typedef {object} Enlargement A square of a picture that is smaller than the transform resizes it to.
 * @property {Uint8Array} pixels of the picture, RGB bytes [height, width, 3]
 * @property {number} width
 * @property {number} height
 * @property {{ width: number, height: number }} size of the enlarged picture
 * @property {{ left: number, top: number }} offset where the square begins in it
 * @property {boolean} mirrored left to right
 */

/**
 * @param {Square} square
 * @param {number} crop
 * @returns {Uint8Array} RGB bytes [crop, crop, 3]
 */
export function pixelsOf(square, crop) {
  if (square instanceof Uint8Array) return square;
  const pixels = enlargeAndCrop(square, crop);
  return square.mirrored ? mirror(pixels, crop) : pixels;
}

/**
 * Enlarges a picture and cuts out a square, with Pillow's bilinear filter: pixel centres lie at half-integers, borders are repeated,
 * and columns and rows are each rounded to bytes. (libvips places the samples of an enlargement up to half an input pixel away.)
 * @param {Enlargement} enlargement
 * @param {number} crop
 */
function enlargeAndCrop({ pixels, width, height, size, offset }, crop) {
  const columns = tapsOf(width, size.width, offset.left, crop);
  const rows = tapsOf(height, size.height, offset.top, crop);
  const cropped = new Uint8Array(crop * crop * 3);
  let top = { row: -1, values: new Uint8Array(crop * 3) };
  let bottom = { row: -1, values: new Uint8Array(crop * 3) };
  for (let y = 0; y < crop; y++) {
    const [above, below, weight] = [rows.left[y] ?? 0, rows.right[y] ?? 0, rows.weight[y] ?? 0];
    // Further down, the row that was below is often the one now above.
    if (top.row !== above && bottom.row === above) [top, bottom] = [bottom, top];
    if (top.row !== above) {
      resampleRow(pixels, above * width * 3, columns, top.values);
      top.row = above;
    }
    if (bottom.row !== below) {
      resampleRow(pixels, below * width * 3, columns, bottom.values);
      bottom.row = below;
    }
    mixRows(top.values, bottom.values, weight, cropped.subarray(y * crop * 3, (y + 1) * crop * 3));
  }
  return cropped;
}

/**
 * @typedef {object} Taps Each output pixel lies between two input pixels: left · (1 − weight) + right · weight.
 * @property {Int32Array} left
 * @property {Int32Array} right
 * @property {Float64Array} weight
 */

/**
 * @param {number} from
 * @param {number} to
 * @param {number} offset
 * @param {number} crop
 * @returns {Taps}
 */
function tapsOf(from, to, offset, crop) {
  const taps = { left: new Int32Array(crop), right: new Int32Array(crop), weight: new Float64Array(crop) };
  for (let i = 0; i < crop; i++) {
    const centre = ((offset + i + 0.5) * from) / to - 0.5;
    const floor = Math.floor(centre);
    taps.left[i] = Math.max(floor, 0);
    taps.right[i] = Math.min(floor + 1, from - 1);
    taps.weight[i] = centre - floor;
  }
  return taps;
}

/**
 * @param {Uint8Array} pixels
 * @param {number} start
 * @param {Taps} taps
 * @param {Uint8Array} row
 */
function resampleRow(pixels, start, { left, right, weight }, row) {
  for (let i = 0, to = 0; i < weight.length; i++) {
    const [l, r, w] = [start + (left[i] ?? 0) * 3, start + (right[i] ?? 0) * 3, weight[i] ?? 0];
    row[to++] = mix(pixels[l] ?? 0, pixels[r] ?? 0, w);
    row[to++] = mix(pixels[l + 1] ?? 0, pixels[r + 1] ?? 0, w);
    row[to++] = mix(pixels[l + 2] ?? 0, pixels[r + 2] ?? 0, w);
  }
}

/**
 * @param {Uint8Array} top
 * @param {Uint8Array} bottom
 * @param {number} weight
 * @param {Uint8Array} mixed
 */
function mixRows(top, bottom, weight, mixed) {
  for (let i = 0; i < mixed.length; i++) mixed[i] = mix(top[i] ?? 0, bottom[i] ?? 0, weight);
}

/**
 * Rounds to the nearest once it is stored as a byte, which drops the fraction.
 * @param {number} a
 * @param {number} b
 * @param {number} weight
 */
function mix(a, b, weight) {
  return a + (b - a) * weight + 0.5;
}

/**
 * Mirrors RGB bytes [side, side, 3] left to right.
 * @param {Uint8Array} pixels
 * @param {number} side
 */
export function mirror(pixels, side) {
  const mirrored = new Uint8Array(pixels.length);
  for (let row = 0; row < pixels.length; row += side * 3) {
    for (let x = 0; x < side; x++) {
      const [from, to] = [row + 3 * x, row + 3 * (side - 1 - x)];
      mirrored[to] = pixels[from] ?? 0;
      mirrored[to + 1] = pixels[from + 1] ?? 0;
      mirrored[to + 2] = pixels[from + 2] ?? 0;
    }
  }
  return mirrored;
}
