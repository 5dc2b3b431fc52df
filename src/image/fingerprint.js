// @ts-check
/** Plain JavaScript, as the threads of the backbone, which take fingerprints, have no loader. */
import { dataViewOf } from './square.js';

/** Cells a side: enough to distinguish pictures, too few to show how they were compressed. */
const SIDE = 16;

const CELLS = SIDE ** 2;

/**
 * @typedef {Uint8Array} Fingerprint A picture's appearance in 257 bytes: the brightness of 16 × 16 cells (luma by Rec. 601, 0 … 255,
 *   row-major), then the most that red, green and blue differ in any cell, rounded up.
 */

/**
 * The fingerprint of a picture, from every other row of it.
 * @param {Uint8Array} pixels interleaved RGB bytes of a square, [side, side, 3], as `decodeImage` gives them
 * @returns {Fingerprint}
 */
export function fingerprintOf(pixels) {
  const side = Math.sqrt(pixels.length / 3);
  if (side < 2 * SIDE) return fingerprintOf(repeated(pixels, side, Math.ceil((2 * SIDE) / side)));
  const bytes = dataViewOf(pixels);
  const edge = (/** @type {number} */ i) => Math.round((i * side) / SIDE);
  const fingerprint = new Uint8Array(CELLS + 1);
  let chroma = 0;
  for (let cell = 0; cell < CELLS; cell++) {
    const [row, column] = [Math.floor(cell / SIDE), cell % SIDE];
    const [left, right, bottom] = [edge(column), edge(column + 1), edge(row + 1)];
    let [r, g, b, count] = [0, 0, 0, 0];
    for (let y = 2 * Math.ceil(edge(row) / 2); y < bottom; y += 2) {
      for (let at = 3 * (y * side + left); at < 3 * (y * side + right); at += 3) {
        r += bytes.getUint8(at);
        g += bytes.getUint8(at + 1);
        b += bytes.getUint8(at + 2);
      }
      count += right - left;
    }
    [r, g, b] = [r / count, g / count, b / count];
    fingerprint[cell] = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
    chroma = Math.max(chroma, Math.max(r, g, b) - Math.min(r, g, b));
  }
  fingerprint[CELLS] = Math.ceil(chroma);
  return fingerprint;
}

/**
 * Enlarges a square by repeating each pixel, so that every cell has pixels of its own in every other row.
 * @param {Uint8Array} pixels
 * @param {number} side
 * @param {number} times
 */
function repeated(pixels, side, times) {
  const large = side * times;
  const repeats = new Uint8Array(3 * large ** 2);
  for (let y = 0; y < large; y++) {
    for (let x = 0; x < large; x++) {
      const from = 3 * (Math.floor(y / times) * side + Math.floor(x / times));
      repeats.set(pixels.subarray(from, from + 3), 3 * (y * large + x));
    }
  }
  return repeats;
}

/**
 * The standard deviation of the brightness, in grey levels of 0 … 255.
 * @param {Fingerprint} fingerprint
 */
export function spreadOf(fingerprint) {
  return Math.sqrt(momentsOf(fingerprint).variance);
}

/**
 * The most that red, green and blue differ in any cell, 0 … 255.
 * @param {Fingerprint} fingerprint
 */
export function chromaOf(fingerprint) {
  return dataViewOf(fingerprint).getUint8(CELLS);
}

/**
 * How alike two pictures look, −1 … 1: the correlation of their brightness, or of one with the other's mirror image, whichever is
 * larger; 0 if one of them has a single colour.
 * @param {Fingerprint} a
 * @param {Fingerprint} b
 */
export function likeness(a, b) {
  const [one, other] = [momentsOf(a), momentsOf(b)];
  // Below one grey level there is only rounding, which would correlate with itself.
  if (one.variance < 1 || other.variance < 1) return 0;
  const [cells, others] = [dataViewOf(a), dataViewOf(b)];
  let [straight, mirrored] = [0, 0];
  for (let row = 0; row < CELLS; row += SIDE) {
    for (let x = 0; x < SIDE; x++) {
      const value = cells.getUint8(row + x);
      straight += value * others.getUint8(row + x);
      mirrored += value * others.getUint8(row + SIDE - 1 - x);
    }
  }
  const covariance = Math.max(straight, mirrored) / CELLS - one.mean * other.mean;
  return covariance / Math.sqrt(one.variance * other.variance);
}

/** @param {Fingerprint} fingerprint */
function momentsOf(fingerprint) {
  let [sum, squares] = [0, 0];
  const cells = dataViewOf(fingerprint);
  for (let cell = 0; cell < CELLS; cell++) {
    const value = cells.getUint8(cell);
    sum += value;
    squares += value ** 2;
  }
  const mean = sum / CELLS;
  return { mean, variance: Math.max(0, squares / CELLS - mean ** 2) };
}
