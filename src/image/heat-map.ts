/**
 * Heat maps over pictures: the colours, and how a few numbers become a smooth surface. It needs nothing of Node, as the pages of report
 * and server draw by it, too.
 */
import type { Region } from './transform.js';

/** What is drawn over a picture. */
export interface Heat {
  /** [rows][columns], from the top left */
  shares: readonly (readonly number[])[];
  /** The part of the picture that they cover, in its pixels. */
  region: Region;
  /** The share from which on the colour is the last one; that of 0 or less is the first. Above 0. */
  scale: number;
}

/** Interleaved bytes of a picture, [height, width, channels]. */
interface Bytes {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  /** RGB or RGBA. */
  channels: 3 | 4;
}

/** How bright the picture is under the colours, and how much brighter its light parts make them. */
const GROUND = 0.62;
const DEPTH = 0.35;

/** How much the strongest colour covers. */
const COVER = 0.85;

/** What the backbone does not see is darker. */
const UNSEEN = 0.3;

/**
 * Draws a heat map over a picture, which turns grey and dark, so that light means a large share even where colours cannot be
 * seen. Changes the bytes.
 */
export function paintHeat({ data, width, height, channels }: Bytes, { shares, region, scale }: Heat): void {
  const [rows, columns] = [shares.length, shares[0]?.length ?? 0];
  const across = tapsOf(width, region.left, region.width, columns);
  const down = tapsOf(height, region.top, region.height, rows);
  for (let y = 0; y < height; y++) {
    const vertical = down[y];
    const line = Array.from({ length: columns }, (_, column) =>
      vertical ? between(vertical, (row) => shares[row]![column]!) : 0,
    );
    for (let x = 0; x < width; x++) {
      const at = (y * width + x) * channels;
      const grey = 0.2126 * data[at]! + 0.7152 * data[at + 1]! + 0.0722 * data[at + 2]!;
      const horizontal = across[x];
      const isSeen = vertical !== undefined && horizontal !== undefined;
      const t = isSeen ? position(between(horizontal, (column) => line[column]!) / scale) : 0;
      const cover = COVER * t ** 0.75;
      const ground = (isSeen ? GROUND : UNSEEN) * grey * (1 - cover);
      const light = (1 - DEPTH + (DEPTH * grey) / 255) * cover;
      const colour = heatColour(t);
      data[at] = ground + light * colour[0];
      data[at + 1] = ground + light * colour[1];
      data[at + 2] = ground + light * colour[2];
    }
  }
}

/**
 * The scale for maps that are to be compared: 99 % of their shares above 0 are at most this, which is rounded up to two digits. 1 if no
 * share is above 0.
 */
export function scaleOf(maps: Iterable<readonly (readonly number[])[]>): number {
  const above: number[] = [];
  for (const shares of maps) for (const row of shares) for (const share of row) if (share > 0) above.push(share);
  above.sort((a, b) => a - b);
  const top = above[Math.ceil(0.99 * above.length) - 1];
  if (top === undefined) return 1;
  const unit = 10 ** (Math.floor(Math.log10(top)) - 1);
  // Division by its inverse keeps 0.3 from becoming 0.30000000000000004.
  return Number((Math.ceil(top / unit) * unit).toPrecision(2));
}

function position(t: number): number {
  return Math.min(Math.max(t, 0), 1);
}

/** The colour of a share, as a fraction of the scale. @param t 0 … 1 @returns red, green and blue, 0 … 255 */
export function heatColour(t: number): readonly [number, number, number] {
  return COLOURS[Math.round(position(t) * (COLOURS.length - 1))]!;
}

/**
 * From dark violet by red to light yellow. The lightness grows evenly, so that equal steps look equal and the order is kept in grey.
 */
const COLOURS = Array.from({ length: 256 }, (_, i) => {
  const t = i / 255;
  const hue = ((-65 + 170 * t) * Math.PI) / 180;
  return inGamut(0.22 + 0.74 * t, 0.19 * Math.sin(Math.PI * (0.18 + 0.7 * t)), hue);
});

/** The colour of a lightness and a hue in OKLCH, with the chroma or the most that sRGB has. */
function inGamut(lightness: number, chroma: number, hue: number): readonly [number, number, number] {
  for (let c = chroma; c > 0; c -= 0.002) {
    const linear = linearOf(lightness, c * Math.cos(hue), c * Math.sin(hue));
    if (linear.every((value) => value >= 0 && value <= 1)) return encoded(linear);
  }
  return encoded(linearOf(lightness, 0, 0));
}

/** OKLab to linear sRGB (Ottosson 2020, "A perceptual color space for image processing"). */
function linearOf(L: number, a: number, b: number): [number, number, number] {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

/** Linear light as bytes of sRGB (IEC 61966-2-1). */
function encoded(linear: readonly [number, number, number]): [number, number, number] {
  const byte = (value: number) => {
    const v = position(value);
    return Math.round(255 * (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055));
  };
  return [byte(linear[0]), byte(linear[1]), byte(linear[2])];
}

/** The cells that a row or column of pixels lies between, and their weights. */
interface Taps {
  cells: readonly number[];
  weights: readonly number[];
}

/** @returns undefined for pixels outside of the region */
function tapsOf(length: number, start: number, size: number, count: number): (Taps | undefined)[] {
  return Array.from({ length }, (_, i) => {
    const place = ((i + 0.5 - start) / size) * count;
    if (place < 0 || place > count) return undefined;
    // A cell's value is that of its middle.
    const floor = Math.floor(place - 0.5);
    return {
      cells: [-1, 0, 1, 2].map((k) => Math.min(Math.max(floor + k, 0), count - 1)),
      weights: catmullRom(place - 0.5 - floor),
    };
  });
}

/** The cubic through the middles of the cells, with their mean slopes (Catmull and Rom 1974). @param t between two, 0 … 1 */
function catmullRom(t: number): readonly number[] {
  return [
    t * (-0.5 + t * (1 - 0.5 * t)),
    1 + t * t * (-2.5 + 1.5 * t),
    t * (0.5 + t * (2 - 1.5 * t)),
    t * t * (-0.5 + 0.5 * t),
  ];
}

function between({ cells, weights }: Taps, valueOf: (cell: number) => number): number {
  let value = 0;
  for (let k = 0; k < 4; k++) value += weights[k]! * valueOf(cells[k]!);
  return value;
}
