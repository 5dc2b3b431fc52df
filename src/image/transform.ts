/** How a picture becomes the backbone's input: resize, crop, scale to 0..1, normalise per channel (RGB). */
export interface Transform {
  /** Length of the shorter side after resizing, in pixels. */
  resize: number;
  /** Side of the square cut from the center, in pixels. */
  crop: number;
  mean: readonly [number, number, number];
  std: readonly [number, number, number];
  /** Shows through transparent pixels. */
  background: string;
}

/** torchvision's transform for its ImageNet models: Resize(256), CenterCrop(224), ImageNet mean and std. */
export const IMAGENET_TRANSFORM: Transform = {
  resize: 256,
  crop: 224,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
  background: '#ffffff',
};

/** The ImageNet transform for another input size, with the same ratio of resize to crop. */
export function imagenetTransform(crop: number): Transform {
  return { ...IMAGENET_TRANSFORM, crop, resize: Math.round((crop * 256) / 224) };
}

/**
 * Identifies a transform by everything that affects its output, so that embeddings of different transforms never mix.
 * The leading number is the version of the decoding; raise it whenever pixels would come out differently.
 */
export function transformId({ resize, crop, mean, std, background }: Transform): string {
  return `v1-resize${resize}-crop${crop}-mean${mean.join('_')}-std${std.join('_')}-on${background.replace('#', '')}`;
}

/**
 * The size after torchvision's Resize: the shorter side becomes `resize`, the longer one is rounded down
 * (torchvision, transforms/functional.py, _compute_resized_output_size).
 */
export function resizedSize(width: number, height: number, resize: number): { width: number; height: number } {
  const longer = (long: number, short: number) => Math.max(resize, Math.floor((resize * long) / short));
  return width <= height
    ? { width: resize, height: longer(height, width) }
    : { width: longer(width, height), height: resize };
}

/** Where torchvision's CenterCrop begins on a side of the given length: half the margin, rounded half to even. */
export function cropOffset(length: number, crop: number): number {
  const half = (length - crop) / 2;
  const floor = Math.floor(half);
  return half - floor === 0.5 && floor % 2 === 1 ? floor + 1 : floor;
}

/** A rectangle in the pixels of an upright picture; not always whole ones. */
export interface Region {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The part of a picture that the backbone sees: the center crop. @param original the picture's size, upright */
export function seenRegion(
  original: { width: number; height: number },
  { resize, crop }: Pick<Transform, 'resize' | 'crop'>,
): Region {
  const resized = resizedSize(original.width, original.height, resize);
  const [across, down] = [original.width / resized.width, original.height / resized.height];
  return {
    left: cropOffset(resized.width, crop) * across,
    top: cropOffset(resized.height, crop) * down,
    width: crop * across,
    height: crop * down,
  };
}

/**
 * Enlarges a picture whose shorter side is below `resize` and cuts out a square, with Pillow's bilinear filter: pixel centres lie
 * at half-integers, borders are repeated, and columns and rows are each rounded to bytes. (libvips places the samples of an
 * enlargement up to half an input pixel away.)
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
  const columns = tapsOf(width, target.width, offset.left, crop);
  const rows = tapsOf(height, target.height, offset.top, crop);
  const cropped = new Uint8Array(crop * crop * 3);
  let top = { row: -1, values: new Uint8Array(crop * 3) };
  let bottom = { row: -1, values: new Uint8Array(crop * 3) };
  for (let y = 0; y < crop; y++) {
    const [above, below] = [rows.left[y]!, rows.right[y]!];
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
    mixRows(top.values, bottom.values, rows.weight[y]!, cropped.subarray(y * crop * 3, (y + 1) * crop * 3));
  }
  return cropped;
}

/** Each output pixel lies between two input pixels: left · (1 − weight) + right · weight. */
interface Taps {
  left: Int32Array;
  right: Int32Array;
  weight: Float64Array;
}

function tapsOf(from: number, to: number, offset: number, crop: number): Taps {
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

function resampleRow(pixels: Uint8Array, start: number, { left, right, weight }: Taps, row: Uint8Array): void {
  for (let i = 0, to = 0; i < weight.length; i++) {
    const [l, r, w] = [start + left[i]! * 3, start + right[i]! * 3, weight[i]!];
    row[to++] = mix(pixels[l]!, pixels[r]!, w);
    row[to++] = mix(pixels[l + 1]!, pixels[r + 1]!, w);
    row[to++] = mix(pixels[l + 2]!, pixels[r + 2]!, w);
  }
}

function mixRows(top: Uint8Array, bottom: Uint8Array, weight: number, mixed: Uint8Array): void {
  for (let i = 0; i < mixed.length; i++) mixed[i] = mix(top[i]!, bottom[i]!, weight);
}

/** Rounds to the nearest once it is stored as a byte, which drops the fraction. */
function mix(a: number, b: number, weight: number): number {
  return a + (b - a) * weight + 0.5;
}
