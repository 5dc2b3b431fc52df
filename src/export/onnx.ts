import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { createSession } from '../backbone/session.js';
import type { FeatureMap } from '../backbone/backbone.js';
import type { Classifier } from '../classify/classifier.js';
import { featuresOfPositions } from '../classify/explain.js';
import type { Head } from '../head/head.js';
import { readPictureFile } from '../data/read.js';
import { encodeModel, graphOf } from '../formats/onnx/model.js';
import { decodeImage, decodeWhole } from '../image/decode.js';
import type { Transform } from '../image/transform.js';
import { abortable } from '../util/async.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { sum } from '../util/math.js';
import { ort } from '../util/onnxruntime.js';
import type { OnnxInput } from './formats.js';
import { classifierModel } from './onnx-graph.js';
import { writeExport } from './write-export.js';

export interface ExportOnnxOptions {
  /** What the model takes. @default 'image' */
  input?: OnnxInput | undefined;
  /** Whether to give where each class is seen, too, see `Explanation`. @default false */
  explain?: boolean | undefined;
  /** Picture files to compare with `predict` on. */
  pictures: readonly string[];
  /** Receives a line for each picture that cannot be read and so is not compared. */
  onNotice?: ((line: string) => void) | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/** A model that was written. */
export interface ExportedOnnx {
  path: string;
  bytes: number;
  input: OnnxInput;
  outputs: string[];
  check: ExportCheck;
}

/** How an exported model compares with `predict` on some pictures. */
export interface ExportCheck {
  /** Pictures that were compared. */
  pictures: number;
  /** Of them, those with the same most probable class. */
  sameTop: number;
  /** The largest difference between the probabilities of a picture: the maximum and the mean over the pictures. */
  largestDifference: number;
  meanDifference: number;
  /** With `explain`: the largest difference between shares, as a fraction of the largest share of the picture. */
  largestShareDifference?: number | undefined;
}

/**
 * Writes backbone and head as one ONNX model that takes pictures and returns probabilities, see {@link classifierModel}. First
 * runs it on pictures and compares it with `predict`.
 * @throws {LastlayerError} if onnxruntime does not run it, it differs from `predict` on the same pixels by more than 1e-3,
 *   none of the pictures can be read, or it cannot be written
 * @throws the signal's reason, once it aborts; nothing is written then
 */
export async function exportOnnx(
  classifier: Classifier,
  path: string,
  options: ExportOnnxOptions,
): Promise<ExportedOnnx> {
  const { input = 'image', explain, signal } = options;
  const model = await classifierModel(classifier.backbone, classifier.head, input, { explain });
  const onnx = encodeModel(model);
  const checked = await check(onnx, path, classifier, options);
  signal?.throwIfAborted();
  await writeExport({ path, content: onnx });
  const outputs = graphOf(model, path).output.map(({ name }) => name);
  return { path, bytes: onnx.length, input, outputs, check: checked };
}

/** How much a probability, or a share as a fraction of the largest, may differ from that of `predict` on the same pixels. */
const TOLERANCE = 1e-3;

/**
 * Runs an exported model on pictures and compares its probabilities with those of `predict`, which must agree on the same
 * pixels. With the input `image`, pixels are the same only if a picture needs no resizing; otherwise probabilities differ as
 * onnxruntime's resizing differs from that of libvips.
 * @param path of the model, for errors
 * @throws {LastlayerError} if onnxruntime does not run it, it differs from `predict` on the same pixels by more than 1e-3, or
 *   none of the pictures can be read
 * @throws the signal's reason, once it aborts
 */
async function check(
  onnx: Uint8Array,
  path: string,
  classifier: Classifier,
  { input = 'image', explain = false, pictures, onNotice, onProgress, signal }: ExportOnnxOptions,
): Promise<ExportCheck> {
  const { backbone } = classifier;
  const session = await createSession(onnx, path, { widen: await backbone.needsWidening() });
  try {
    const differences: Difference[] = [];
    for (const [i, file] of pictures.entries()) {
      signal?.throwIfAborted();
      const picture = await abortable(read(file, backbone.transform, input), signal);
      if ('error' in picture) {
        onNotice?.(`Not compared on ${file}: ${picture.error}.`);
        continue;
      }
      const difference = await compare(session, classifier, picture.sample, explain);
      differences.push(difference);
      if (input !== 'image') refuse(difference, path, file);
      // One picture shows whether the crop, the colours and the layer are right.
      else if (differences.length === 1) {
        const sample = await resizedSampleOf(picture.bytes, backbone.transform);
        refuse(await compare(session, classifier, sample, explain), path, file);
      }
      onProgress?.(i + 1, pictures.length);
    }
    return summaryOf(differences, path);
  } finally {
    await session.release();
  }
}

async function read(
  file: string,
  transform: Transform,
  input: OnnxInput,
): Promise<{ bytes: Uint8Array; sample: Sample } | { error: string }> {
  try {
    const bytes = await readPictureFile(file);
    return { bytes, sample: await sampleOf(bytes, transform, input) };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

/** How the probabilities of one picture differ. */
interface Difference {
  largest: number;
  sameTop: boolean;
  /** Of the shares, as a fraction of the largest; undefined if there are none. */
  ofShares: number | undefined;
}

async function compare(
  session: InferenceSession,
  { backbone, head }: Classifier,
  { feed, pixels }: Sample,
  explain: boolean,
): Promise<Difference> {
  const { embedding, map } = await backbone.run(pixels, { map: explain });
  const expected = head.predictProba(embedding).getRow(0);
  const wanted = explain ? ['probabilities', 'shares'] : ['probabilities'];
  const { probabilities, shares } = await session.run({ [session.inputNames[0] ?? '']: feed }, wanted);
  const found = Array.from(probabilities?.data as Float32Array);
  const top = (row: readonly number[]) => row.indexOf(Math.max(...row));
  return {
    largest: Math.max(...expected.map((value, n) => Math.abs(value - (found[n] ?? NaN)))),
    sameTop: top(expected) === top(found),
    ofShares: map && differenceOfShares(shares?.data as Float32Array, sharesOf(head, map)),
  };
}

/** [classes · rows · columns] */
function sharesOf(head: Head, map: FeatureMap): number[] {
  return head.logits(featuresOfPositions(map)).transpose().to1DArray();
}

/** The largest difference, as a fraction of the largest value; as it is if all values are 0. */
function differenceOfShares(found: Float32Array, expected: readonly number[]): number {
  const most = (valueOf: (value: number, i: number) => number) =>
    expected.reduce((largest, value, i) => Math.max(largest, valueOf(value, i)), 0);
  return most((value, i) => Math.abs(value - (found[i] ?? NaN))) / (most(Math.abs) || 1);
}

function refuse({ largest, ofShares = 0 }: Difference, path: string, file: string): void {
  // Written so that NaN is refused too.
  if (!(ofShares <= TOLERANCE)) {
    throw new LastlayerError(
      `${path} was not written: run by onnxruntime, it gives ${file} shares that differ from predict's by ` +
        `${ofShares.toPrecision(2)} of the largest on the same pixels, more than ${TOLERANCE}.`,
    );
  }
  if (largest <= TOLERANCE) return;
  throw new LastlayerError(
    `${path} was not written: run by onnxruntime, it gives ${file} probabilities that differ from predict's by ` +
      `${largest.toPrecision(2)} on the same pixels, more than ${TOLERANCE}.`,
  );
}

function summaryOf(differences: readonly Difference[], path: string): ExportCheck {
  const pictures = differences.length;
  if (pictures === 0) {
    throw new LastlayerError(
      `${path} was not written: there was no readable picture to check it on. Name some with --check.`,
    );
  }
  const largest = differences.map((difference) => difference.largest);
  const ofShares = differences.flatMap((difference) => difference.ofShares ?? []);
  return {
    pictures,
    sameTop: differences.filter(({ sameTop }) => sameTop).length,
    largestDifference: Math.max(...largest),
    meanDifference: sum(largest) / pictures,
    largestShareDifference: ofShares.length > 0 ? Math.max(...ofShares) : undefined,
  };
}

/** One picture, as the exported model and as the backbone take it. */
interface Sample {
  feed: Tensor;
  /** RGB bytes [crop, crop, 3] */
  pixels: Uint8Array;
}

async function sampleOf(bytes: Uint8Array, transform: Transform, input: OnnxInput): Promise<Sample> {
  const { pixels } = await decodeImage(bytes, transform);
  const { crop } = transform;
  if (input === 'pixels') return { feed: new ort.Tensor('uint8', pixels, [1, crop, crop, 3]), pixels };
  if (input === 'tensor') {
    return { feed: new ort.Tensor('float32', normalize(pixels, transform), [1, 3, crop, crop]), pixels };
  }
  const { data, width, height } = await decodeWhole(bytes, transform.background);
  return { feed: new ort.Tensor('uint8', data, [1, height, width, 3]), pixels };
}

/** The middle of a picture, already resized, so that a model that takes whole pictures has nothing to resize. */
async function resizedSampleOf(bytes: Uint8Array, transform: Transform): Promise<Sample> {
  const { resize } = transform;
  const { pixels: data } = await decodeImage(bytes, { ...transform, crop: resize });
  const { pixels } = await decodeImage({ data, width: resize, height: resize, channels: 3 }, transform);
  return { feed: new ort.Tensor('uint8', data, [1, resize, resize, 3]), pixels };
}

/** (value / 255 − mean) / std, in planes. @param pixels [side, side, 3] */
function normalize(pixels: Uint8Array, { mean, std }: Transform): Float32Array {
  const size = pixels.length / 3;
  const planes = new Float32Array(pixels.length);
  for (const [c, m] of mean.entries()) {
    for (let i = 0; i < size; i++) {
      planes[c * size + i] = (pixels[3 * i + c]! / 255 - m) / std[c]!;
    }
  }
  return planes;
}
