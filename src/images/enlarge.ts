import { resizedSize, type Transform } from './transform.js';

/** Where an output pixel lies between two input pixels: left · (1 − weight) + right · weight. */
interface Tap {
  left: number;
  right: number;
  weight: number;
}

/**
 * Enlarges a picture whose shorter side is below `resize` and cuts out a square, as Pillow's bilinear filter does:
 * pixel centres lie at half-integers, borders are repeated, columns and rows are each rounded to bytes.
 * (libvips places the samples of an enlargement up to half an input pixel away from there.)
 * @param pixels interleaved RGB bytes [height, width, 3]
 * @param offset where the square begins in the enlarged picture
 * @returns interleaved RGB bytes [crop, crop, 3]
 */
export function enlargeAndCrop(
  pixels: Uint8Array,
  { width, height }: { width: number; height: number },
  transform: Transform,
  offset: { left: number; top: number },
): Uint8Array {
  const { crop } = transform;
  const target = resizedSize(width, height, transform.resize);
  const columns = taps(width, target.width, offset.left, crop);
  const rows = taps(height, target.height, offset.top, crop);
  const cropped = new Uint8Array(crop * crop * 3);
  let top = { row: -1, values: new Uint8Array(crop * 3) };
  let bottom = { row: -1, values: new Uint8Array(crop * 3) };
  rows.forEach(({ left: above, right: below, weight }, y) => {
    // Going down, the row that was below is often the one that is now above.
    if (top.row !== above && bottom.row === above) [top, bottom] = [bottom, top];
    if (top.row !== above)
      top = { row: above, values: resampleRow(pixels, above * width * 3, columns, top.values) };
    if (bottom.row !== below)
      bottom = { row: below, values: resampleRow(pixels, below * width * 3, columns, bottom.values) };
    const start = y * crop * 3;
    for (let i = 0; i < crop * 3; i++)
      cropped[start + i] = mix(top.values[i] ?? 0, bottom.values[i] ?? 0, weight);
  });
  return cropped;
}

function taps(from: number, to: number, offset: number, crop: number): Tap[] {
  return Array.from({ length: crop }, (_, i) => {
    const centre = ((offset + i + 0.5) * from) / to - 0.5;
    const floor = Math.floor(centre);
    const clamp = (x: number) => Math.min(Math.max(x, 0), from - 1);
    return { left: clamp(floor), right: clamp(floor + 1), weight: centre - floor };
  });
}

function resampleRow(
  pixels: Uint8Array,
  start: number,
  columns: Tap[],
  row: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  let i = 0;
  for (const { left, right, weight } of columns) {
    const [l, r] = [start + left * 3, start + right * 3];
    row[i++] = mix(pixels[l] ?? 0, pixels[r] ?? 0, weight);
    row[i++] = mix(pixels[l + 1] ?? 0, pixels[r + 1] ?? 0, weight);
    row[i++] = mix(pixels[l + 2] ?? 0, pixels[r + 2] ?? 0, weight);
  }
  return row;
}

/** Rounded to the nearest once it is stored as a byte, which drops what is behind the point. */
function mix(a: number, b: number, weight: number): number {
  return a + (b - a) * weight + 0.5;
}
