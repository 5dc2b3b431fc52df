import { LastlayerError, UsageError } from '../errors.js';
import { IMAGENET_TRANSFORM, imagenetTransform, type Transform } from '../images/index.js';
import { inputSize, metadataOf, withMetadata, type ModelProto } from '../onnx/index.js';

/** Where a network wants its pictures otherwise than torchvision's V1 weights do. */
export type TransformChanges = Partial<Pick<Transform, 'resize' | 'mean' | 'std'>>;

/** The entry of the model's metadata that keeps them, so that they go wherever the file goes. */
const KEY = 'lastlayer.transform';

/** Pixels: what a network may ask for, which nobody else bounds. */
const LONGEST_SIDE = 8192;

/**
 * How pictures are made ready for a network: as torchvision does for its V1 weights, in the size of its input, but for
 * what the model's metadata say.
 * @throws {LastlayerError} where the network wants other pictures than square ones, or its metadata are damaged
 */
export function transformOf(model: ModelProto, path: string): Transform {
  const size = inputSize(model, path);
  if (size && size.height !== size.width) {
    throw new LastlayerError(
      `${path} takes pictures of ${size.width} × ${size.height} pixels; square ones are made here. Export the network ` +
        `with dynamic height and width, or with a square input.`,
    );
  }
  if (size && !isSide(size.width)) {
    throw new LastlayerError(
      `${path} takes pictures of ${size.width} × ${size.height} pixels; sides of 1 to ${LONGEST_SIDE} can be made here.`,
    );
  }
  return { ...(size ? imagenetTransform(size.width) : IMAGENET_TRANSFORM), ...changesOf(model, path) };
}

/**
 * The same model, noting how it wants its pictures; the very model where that is how it has them already.
 * @throws {UsageError} where a change makes no sense
 */
export function withTransform(model: ModelProto, path: string, changes: TransformChanges): ModelProto {
  const before = transformOf(model, path);
  refuseNonsense(changes, before.crop);
  const after = { ...before, ...changes };
  const { resize, mean, std } = after;
  if (JSON.stringify(after) === JSON.stringify(before)) return model;
  return withMetadata(model, KEY, JSON.stringify({ resize, mean, std }));
}

function changesOf(model: ModelProto, path: string): TransformChanges {
  const text = metadataOf(model, KEY);
  if (text === undefined) return {};
  try {
    const { resize, mean, std } = JSON.parse(text) as TransformChanges;
    if (resize === undefined || !mean || !std) throw new Error();
    refuseNonsense({ resize, mean, std }, 1);
    return { resize, mean, std };
  } catch {
    throw new LastlayerError(`${path} is damaged: its ${KEY} is ${text}. Get the model again.`);
  }
}

function refuseNonsense({ resize, mean, std }: TransformChanges, crop: number): void {
  if (resize !== undefined && (!isSide(resize) || resize < crop)) {
    throw new UsageError(
      `resize is ${resize}; a whole number of pixels from ${crop}, the crop, to ${LONGEST_SIDE} is expected.`,
    );
  }
  refuseNoColour('mean', mean, () => true);
  refuseNoColour('std', std, (value) => value > 0);
}

function isSide(pixels: number): boolean {
  return Number.isSafeInteger(pixels) && pixels >= 1 && pixels <= LONGEST_SIDE;
}

function refuseNoColour(
  name: string,
  values: readonly number[] | undefined,
  fits: (value: number) => boolean,
): void {
  if (!values || (values.length === 3 && values.every((value) => Number.isFinite(value) && fits(value))))
    return;
  throw new UsageError(
    `${name} is ${values.join(', ')}; three numbers for red, green and blue are expected, on the scale from 0 to 1.`,
  );
}
