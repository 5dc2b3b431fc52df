import type { InferenceSession } from 'onnxruntime-node';
import { abortable } from '../../abortable.js';
import { createSession, int8Overflows } from '../../backbone/index.js';
import type { Classifier } from '../../classifier/index.js';
import { LastlayerError, messageOf } from '../../errors.js';
import { readPictureFile } from '../../images/index.js';
import type { OnnxInput } from './graph.js';
import { resizedSampleOf, sampleOf, type Sample } from './samples.js';

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
  onNotice?: (line: string) => void;
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
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
