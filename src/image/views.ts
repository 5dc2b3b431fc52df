import { UsageError } from '../util/errors.js';
import { cropOffset, type Transform } from './transform.js';

/**
 * Sets of augmented views, besides the center crop: `flip`, the picture mirrored left to right; `crops`, the four corners of the
 * resized picture. Together they make the ten crops of Krizhevsky, Sutskever and Hinton 2012, "ImageNet Classification with Deep
 * Convolutional Neural Networks", section 4.1, and of torchvision's TenCrop.
 */
export const VIEW_SETS = ['flip', 'crops'] as const;
export type ViewSet = (typeof VIEW_SETS)[number];

const CORNERS = ['top-left', 'top-right', 'bottom-left', 'bottom-right'] as const;
type Corner = (typeof CORNERS)[number];

/** A square of a picture that the backbone sees: the center crop or an augmented view. */
export type View = 'center' | 'flip' | Corner | `${Corner}-flip`;

/** The augmented views of some sets. With `flip`, every crop is also mirrored. */
export function augmentedViews(sets: readonly ViewSet[]): View[] {
  const crops = sets.includes('crops') ? CORNERS : [];
  if (!sets.includes('flip')) return [...crops];
  return ['flip', ...crops, ...crops.map((corner) => `${corner}-flip` as const)];
}

/** All augmented views. */
export const AUGMENTED_VIEWS: readonly View[] = augmentedViews(VIEW_SETS);

/** @throws {UsageError} if a name is not one of {@link VIEW_SETS} */
export function checkViewSets(sets: readonly string[]): void {
  const known: readonly string[] = VIEW_SETS;
  const bad = sets.find((set) => !known.includes(set));
  if (bad !== undefined) {
    throw new UsageError(`Unknown view ${JSON.stringify(bad)}. Use ${VIEW_SETS.join(' or ')}.`);
  }
}

/** Which square of the resized picture a view shows, before mirroring. */
export type Place = 'center' | Corner;

export function placeOf(view: View): { place: Place; mirrored: boolean } {
  const corner = CORNERS.find((name) => view === name || view === `${name}-flip`);
  return { place: corner ?? 'center', mirrored: view.endsWith('flip') };
}

/** Where the square begins in a resized picture, as in torchvision's CenterCrop and FiveCrop. */
export function offsetOf(
  place: Place,
  { width, height }: { width: number; height: number },
  { crop }: Transform,
): { left: number; top: number } {
  if (place === 'center') return { left: cropOffset(width, crop), top: cropOffset(height, crop) };
  return {
    left: place.endsWith('left') ? 0 : width - crop,
    top: place.startsWith('top') ? 0 : height - crop,
  };
}

/** Cuts a square out of RGB bytes [height, width, 3]. */
export function cut(
  pixels: Uint8Array,
  width: number,
  { left, top }: { left: number; top: number },
  crop: number,
): Uint8Array {
  const square = new Uint8Array(crop * crop * 3);
  for (let y = 0; y < crop; y++) {
    const start = ((top + y) * width + left) * 3;
    square.set(pixels.subarray(start, start + crop * 3), y * crop * 3);
  }
  return square;
}
