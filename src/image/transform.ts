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
