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
  const source = dataViewOf(pixels);
  const columns = tapsOf(width, size.width, offset.left, crop);
  const cropped = new Uint8Array(crop * crop * 3);
  let top = { row: -1, values: new DataView(new ArrayBuffer(crop * 3)) };
  let bottom = { row: -1, values: new DataView(new ArrayBuffer(crop * 3)) };
  let to = 0;
  for (const { first, second, weight } of tapsOf(height, size.height, offset.top, crop)) {
    // Further down, the row that was below is often the one now above.
    if (top.row !== first && bottom.row === first) [top, bottom] = [bottom, top];
    if (top.row !== first) {
      resampleRow(source, first * width * 3, columns, top.values);
      top.row = first;
    }
    if (bottom.row !== second) {
      resampleRow(source, second * width * 3, columns, bottom.values);
      bottom.row = second;
    }
    for (let i = 0; i < crop * 3; i++) {
      cropped[to++] = mix(top.values.getUint8(i), bottom.values.getUint8(i), weight);
    }
  }
  return cropped;
}

/**
 * @typedef {object} Taps The two input pixels between which an output pixel lies: first · (1 − weight) + second · weight.
 * @property {number} first
 * @property {number} second
 * @property {number} weight
 */

/**
 * @param {number} from
 * @param {number} to
 * @param {number} offset
 * @param {number} crop
 * @returns {Taps[]}
 */
function tapsOf(from, to, offset, crop) {
  return Array.from({ length: crop }, (_, i) => {
    const centre = ((offset + i + 0.5) * from) / to - 0.5;
    const floor = Math.floor(centre);
    return { first: Math.max(floor, 0), second: Math.min(floor + 1, from - 1), weight: centre - floor };
  });
}

/**
 * @param {DataView} pixels
 * @param {number} start
 * @param {Taps[]} columns
 * @param {DataView} row
 */
function resampleRow(pixels, start, columns, row) {
  let to = 0;
  for (const { first, second, weight } of columns) {
    const [l, r] = [start + first * 3, start + second * 3];
    row.setUint8(to++, mix(pixels.getUint8(l), pixels.getUint8(r), weight));
    row.setUint8(to++, mix(pixels.getUint8(l + 1), pixels.getUint8(r + 1), weight));
    row.setUint8(to++, mix(pixels.getUint8(l + 2), pixels.getUint8(r + 2), weight));
  }
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
  const source = dataViewOf(pixels);
  const mirrored = new Uint8Array(pixels.length);
  for (let row = 0; row < pixels.length; row += side * 3) {
    for (let x = 0; x < side; x++) {
      const [from, to] = [row + 3 * x, row + 3 * (side - 1 - x)];
      mirrored[to] = source.getUint8(from);
      mirrored[to + 1] = source.getUint8(from + 1);
      mirrored[to + 2] = source.getUint8(from + 2);
    }
  }
  return mirrored;
}

/** Gives access to bytes that throws beyond their end, where an array gives undefined. @param {Uint8Array} bytes */
export function dataViewOf({ buffer, byteOffset, byteLength }) {
  return new DataView(buffer, byteOffset, byteLength);
}
