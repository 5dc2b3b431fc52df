import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Matrix } from 'ml-matrix';
import { LastlayerError, messageOf } from '../errors.js';
import { readRegularFile } from '../regular-file.js';
import { encodeSafetensors, readSafetensors } from '../safetensors/index.js';
import { ownVersion } from '../version.js';
import { writeWholeFile } from '../whole-file.js';
import { Head } from './head.js';
import { decodeMetadata, encodeMetadata } from './metadata.js';

const CLASS_MEANS = 'class_means';

/**
 * Writes a head as a safetensors file: `fc.weight` [N, D] and `fc.bias` [N] in float32, which torchvision's
 * `resnet18(num_classes=N).fc` takes as they are, `class_means` [N, D] where it can tell unknown pictures, and all else
 * that the head knows in the metadata. The file is written whole or not at all, see `writeWholeFile`.
 * @throws {LastlayerError} where it cannot be written
 */
export async function saveHead(path: string, head: Head): Promise<void> {
  const { weights, bias, labels, width, unknown } = head;
  const tensors = new Map([
    ['fc.weight', { shape: [labels.length, width], data: Float32Array.from(weights.to1DArray()) }],
    ['fc.bias', { shape: [labels.length], data: bias }],
  ]);
  if (unknown) {
    tensors.set(CLASS_MEANS, {
      shape: [labels.length, width],
      data: Float32Array.from(unknown.means.to1DArray()),
    });
  }
  const bytes = encodeSafetensors(tensors, { ...encodeMetadata(head), lastlayer: await ownVersion() });
  try {
    await mkdir(dirname(path), { recursive: true });
    await writeWholeFile(path, bytes);
  } catch (error) {
    throw new LastlayerError(`The head cannot be written to ${path}: ${messageOf(error)}.`);
  }
}

/**
 * Reads a head that {@link saveHead} wrote. Weights, bias and everything else come back exactly.
 * @throws {LastlayerError} where the file cannot be read, is no head, is of another version, lacks something, or holds
 *   shapes that disagree or weights that are not finite
 */
export async function loadHead(path: string): Promise<Head> {
  return readHead(await readHeadFile(path), path);
}

/**
 * As {@link loadHead}, of a file that was read already.
 * @param path named in errors
 */
export function readHead(bytes: Uint8Array, path: string): Head {
  const { tensors, metadata } = readSafetensors(bytes, path);
  const { unknownThreshold, ...description } = decodeMetadata(metadata, path);
  const weight = tensors.get('fc.weight');
  const bias = tensors.get('fc.bias');
  if (!weight || !bias) {
    const found = [...tensors.keys()].join(', ') || 'none';
    throw new LastlayerError(
      `${path} is damaged: a head has the tensors fc.weight and fc.bias, and this file has ${found}. Train it again.`,
    );
  }
  const [classes, width] = weight.shape;
  if (classes === undefined || !width || weight.shape.length !== 2 || bias.shape.join() !== `${classes}`) {
    throw new LastlayerError(
      `${path} is damaged: fc.weight is [${weight.shape.join(', ')}] and fc.bias [${bias.shape.join(', ')}] where ` +
        `[N, D] and [N] are expected. Train it again.`,
    );
  }
  try {
    const means = tensors.get(CLASS_MEANS);
    const [rows = 0, columns = 0] = means?.shape ?? [];
    return new Head({
      ...description,
      unknown:
        means && unknownThreshold !== null
          ? { means: Matrix.from1DArray(rows, columns, means.data), threshold: unknownThreshold }
          : null,
      weights: Matrix.from1DArray(classes, width, weight.data),
      bias: bias.data,
    });
  } catch (error) {
    throw new LastlayerError(`${path} is damaged: ${messageOf(error)} Train it again.`);
  }
}

/** @throws {LastlayerError} where the file of a head cannot be read */
export async function readHeadFile(path: string): Promise<Uint8Array> {
  try {
    return await readRegularFile(path);
  } catch (error) {
    throw new LastlayerError(`The head file ${path} cannot be read: ${messageOf(error)}.`);
  }
}
