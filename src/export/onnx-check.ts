import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { createSession, int8Overflows } from '../backbone/session.js';
import type { Classifier } from '../classify/classifier.js';
import { readPictureFile } from '../data/read.js';
import { decodeImage, decodeWhole } from '../image/decode.js';
import type { Transform } from '../image/transform.js';
import { abortable } from '../util/async.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import type { OnnxInput } from './onnx.js';

/** How much a probability may differ from predict's where both are given the same pixels. */
const TOLERANCE = 1e-3;

/** How an exported network compares with `predict` on some pictures. */
export interface ExportCheck {
  /** Pictures that were compared. */
  pictures: number;
  /** Of them, those for which both have the same most probable class. */
  sameTop: number;
  /** By how much the probabilities of a picture differ at most: of all pictures the largest, and the mean. */
  largestDifference: number;
  meanDifference: number;
}

export interface CheckOptions {
  /** Told of pictures that cannot be read and so are not compared. */
  onNotice?: ((line: string) => void) | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Runs an exported network on pictures and compares its probabilities with those of `predict`. They have to agree where
 * both are given the same pixels. With the input `image` that is so of a picture that needs no resizing alone; of others
 * the probabilities differ as onnxruntime's resizing differs from that of libvips.
 * @param onnx the network's bytes
 * @param name of the network, for errors
 * @param paths of picture files
 * @throws {LastlayerError} where onnxruntime does not run it, it differs from `predict` on the same pixels by more than
 *   1e-3, or none of the pictures can be read
 * @throws the signal's reason, once it aborts
 */
export async function checkExport(
  onnx: Uint8Array,
  name: string,
  input: OnnxInput,
  classifier: Classifier,
  paths: readonly string[],
  { onNotice, onProgress, signal }: CheckOptions = {},
): Promise<ExportCheck> {
  const { backbone } = classifier;
  const widen = backbone.quantized && (await int8Overflows());
  const session = await createSession(onnx, name, { widen });
  try {
    const differences: Difference[] = [];
    for (const [i, path] of paths.entries()) {
      signal?.throwIfAborted();
      const picture = await abortable(read(path, classifier, input), signal);
      if ('error' in picture) {
        onNotice?.(`Not compared on ${path}: ${picture.error}.`);
        continue;
      }
      const difference = await compare(session, classifier, picture.sample);
      differences.push(difference);
      if (input !== 'image') refuse(difference, name, path);
      // One picture shows whether the crop, the colours and the layer are right.
      else if (differences.length === 1) {
        const sample = await resizedSampleOf(picture.file, backbone.transform);
        refuse(await compare(session, classifier, sample), name, path);
      }
      onProgress?.(i + 1, paths.length);
    }
    return summaryOf(differences, name);
  } finally {
    await session.release();
  }
}

/** How the probabilities of one picture differ. */
interface Difference {
  largest: number;
  sameTop: boolean;
}

async function read(
  path: string,
  { backbone }: Classifier,
  input: OnnxInput,
): Promise<{ file: Uint8Array; sample: Sample } | { error: string }> {
  try {
    const file = await readPictureFile(path);
    return { file, sample: await sampleOf(file, backbone.transform, input) };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

async function compare(
  session: InferenceSession,
  { backbone, head }: Classifier,
  { feed, pixels }: Sample,
): Promise<Difference> {
  const expected = head.predictProba((await backbone.run(pixels)).embedding).getRow(0);
  const { probabilities } = await session.run({ [session.inputNames[0] ?? '']: feed }, ['probabilities']);
  const found = Array.from(probabilities?.data as Float32Array);
  const top = (row: readonly number[]) => row.indexOf(Math.max(...row));
  return {
    largest: Math.max(...expected.map((value, n) => Math.abs(value - (found[n] ?? NaN)))),
    sameTop: top(expected) === top(found),
  };
}

function refuse({ largest }: Difference, name: string, path: string): void {
  // So that NaN is refused, too.
  if (largest <= TOLERANCE) return;
  throw new LastlayerError(
    `${name} was not written: run by onnxruntime, it gives ${path} probabilities that differ from predict's by ` +
      `${largest.toPrecision(2)} on the same pixels, where ${TOLERANCE} is the most.`,
  );
}

function summaryOf(differences: readonly Difference[], name: string): ExportCheck {
  const pictures = differences.length;
  if (pictures === 0) {
    throw new LastlayerError(
      `${name} was not written: there was no readable picture to check it on. Name some with --check.`,
    );
  }
  const largest = differences.map((difference) => difference.largest);
  return {
    pictures,
    sameTop: differences.filter(({ sameTop }) => sameTop).length,
    largestDifference: Math.max(...largest),
    meanDifference: largest.reduce((sum, value) => sum + value, 0) / pictures,
  };
}

/** One picture as two networks take it. */
interface Sample {
  /** For the exported network. */
  feed: Tensor;
  /** RGB bytes [crop, crop, 3], for the backbone. */
  pixels: Uint8Array;
}

/** @throws {LastlayerError} where the file is no readable picture */
async function sampleOf(file: Uint8Array, transform: Transform, input: OnnxInput): Promise<Sample> {
  const { pixels } = await decodeImage(file, transform);
  const { crop } = transform;
  if (input === 'pixels') return { feed: new Tensor('uint8', pixels, [1, crop, crop, 3]), pixels };
  if (input === 'tensor') {
    return { feed: new Tensor('float32', normalize(pixels, transform), [1, 3, crop, crop]), pixels };
  }
  const { data, width, height } = await decodeWhole(file, transform.background);
  return { feed: new Tensor('uint8', data, [1, height, width, 3]), pixels };
}

/** The middle of a picture, resized already, so that a network that takes whole pictures has nothing to resize. */
async function resizedSampleOf(file: Uint8Array, transform: Transform): Promise<Sample> {
  const { resize } = transform;
  const { pixels: data } = await decodeImage(file, { ...transform, crop: resize });
  const { pixels } = await decodeImage({ data, width: resize, height: resize, channels: 3 }, transform);
  return { feed: new Tensor('uint8', data, [1, resize, resize, 3]), pixels };
}

/** (value / 255 − mean) / std, in planes. @param pixels [side, side, 3] */
function normalize(pixels: Uint8Array, { mean, std }: Transform): Float32Array {
  const size = pixels.length / 3;
  const planes = new Float32Array(pixels.length);
  for (const [c, m] of mean.entries()) {
    for (let i = 0; i < size; i++) {
      planes[c * size + i] = (pixels[3 * i + c]! / 255 - m) / (std[c] ?? 1);
    }
  }
  return planes;
}
