import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { encodeSafetensors, readSafetensors, type TensorData } from '../formats/safetensors.js';
import { DEFAULT_HEAD } from '../util/defaults.js';
import { codeOf, LastlayerError, messageOf, withCode } from '../util/errors.js';
import { readRegularFile, writeWholeFile } from '../util/files.js';
import type { JsonValue } from '../util/json.js';
import { Matrix } from '../util/matrix.js';
import { ownVersion } from '../util/version.js';
import { Head, type HeadFields, type TrainingReport, type UnknownDetector } from './head.js';
import type { HeadKind } from './task.js';

const FORMAT = 'lastlayer-head';
const VERSION = '1';

const CLASS_MEANS = 'class_means';

const TRAINED_ON = 'trained_on';
/** A float32 holds whole numbers of 24 bits exactly. */
const HALF_KEY = 2 ** 24;

/**
 * Writes a head as a safetensors file: `fc.weight` [N, D] and `fc.bias` [N] in float32, which torchvision's
 * `resnet18(num_classes=N).fc` takes as they are, `class_means` [N, D] if it can tell unknown pictures, `trained_on`
 * [M, 2] with the upper and the lower 24 bits of each training picture's key (see `pictureKeys`), and everything else that
 * the head knows in the metadata. The file is written whole or not at all, see `writeWholeFile`.
 * @throws {LastlayerError} if it cannot be written
 */
export async function saveHead(path: string, head: Head): Promise<void> {
  const { weights, bias, labels, width, unknown, trainedOn } = head;
  const tensors = new Map([
    ['fc.weight', { shape: [labels.length, width], data: Float32Array.from(weights.to1DArray()) }],
    ['fc.bias', { shape: [labels.length], data: bias }],
  ]);
  if (unknown) {
    const data = Float32Array.from(unknown.means.to1DArray());
    tensors.set(CLASS_MEANS, { shape: [labels.length, width], data });
  }
  if (trainedOn) {
    const data = Float32Array.from([...trainedOn].flatMap((key) => [Math.floor(key / HALF_KEY), key % HALF_KEY]));
    tensors.set(TRAINED_ON, { shape: [trainedOn.length, 2], data });
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
 * @throws {LastlayerError} if the file cannot be read, is not a head, is of another version, lacks something, or holds
 *   shapes that disagree or weights that are not finite
 */
export async function loadHead(path: string): Promise<Head> {
  return withCode('HEAD_DAMAGED', async () => readHead(await readHeadFile(path), path));
}

/** Like {@link loadHead}, for a file that was read already. @param path named in errors */
export function readHead(bytes: Uint8Array, path: string): Head {
  const { tensors, metadata } = readSafetensors(bytes, path);
  const { unknown, ...description } = decodeMetadata(metadata, path);
  const weight = tensors.get('fc.weight');
  const bias = tensors.get('fc.bias');
  if (!weight || !bias) {
    const found = [...tensors.keys()].join(', ') || 'none';
    throw new LastlayerError(
      `${path} is damaged: a head has the tensors fc.weight and fc.bias, but this file has ${found}. Train it again.`,
    );
  }
  const [classes, width] = weight.shape;
  if (classes === undefined || !width || weight.shape.length !== 2 || bias.shape.join() !== `${classes}`) {
    throw new LastlayerError(
      `${path} is damaged: fc.weight is [${weight.shape.join(', ')}] and fc.bias [${bias.shape.join(', ')}] where ` +
        '[N, D] and [N] are expected. Train it again.',
    );
  }
  try {
    const means = tensors.get(CLASS_MEANS);
    const [rows = 0, columns = 0] = means?.shape ?? [];
    return new Head({
      ...description,
      unknown: means && unknown && { ...unknown, means: Matrix.from1DArray(rows, columns, means.data) },
      trainedOn: keysIn(tensors.get(TRAINED_ON)),
      weights: Matrix.from1DArray(classes, width, weight.data),
      bias: bias.data,
    });
  } catch (error) {
    throw new LastlayerError(`${path} is damaged: ${messageOf(error)} Train it again.`);
  }
}

/** @throws {LastlayerError} if the tensor is not [M, 2] */
function keysIn(tensor: TensorData | undefined): Float64Array | null {
  if (!tensor) return null;
  const { shape, data } = tensor;
  if (shape.length !== 2 || shape[1] !== 2) {
    throw new LastlayerError(`${TRAINED_ON} is [${shape.join(', ')}] where [M, 2] is expected.`);
  }
  return Float64Array.from({ length: shape[0]! }, (_, i) => data[2 * i]! * HALF_KEY + data[2 * i + 1]!);
}

/** @throws {LastlayerError} if the file of a head cannot be read */
export async function readHeadFile(path: string): Promise<Uint8Array> {
  try {
    return await readRegularFile(path);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') {
      const out = path === DEFAULT_HEAD ? '' : ` -- --out ${path}`;
      throw new LastlayerError(
        `There is no head ${path} yet. Run \`npm run train-head${out}\` first.`,
        'HEAD_NOT_FOUND',
      );
    }
    throw new LastlayerError(`The head file ${path} cannot be read: ${messageOf(error)}.`);
  }
}

/** Everything that a head knows but its tensors. */
type HeadDescription = Omit<HeadFields, 'weights' | 'bias' | 'unknown' | 'trainedOn'> & {
  unknown: Omit<UnknownDetector, 'means'> | null;
};

/** The metadata of a head's file. Every value is text: strings as they are, everything else as JSON. */
export function encodeMetadata(head: Head): Record<string, string> {
  return {
    format: FORMAT,
    version: VERSION,
    kind: head.kind,
    thresholds: JSON.stringify(head.thresholds),
    labels: JSON.stringify(head.labels),
    modelId: head.modelId,
    transformId: head.transformId,
    l2: JSON.stringify(head.l2),
    counts: JSON.stringify(head.counts),
    training: JSON.stringify(head.training),
    temperature: JSON.stringify(head.temperature),
    unknown: JSON.stringify(head.unknown && { rate: head.unknown.rate, typical: head.unknown.typical }),
    metrics: JSON.stringify(head.metrics),
    created: head.created,
  };
}

/** The reverse of {@link encodeMetadata}. @throws {LastlayerError} as {@link loadHead} does */
function decodeMetadata(metadata: Readonly<Record<string, string>>, path: string): HeadDescription {
  if (metadata['format'] !== FORMAT) {
    throw new LastlayerError(
      `${path} is not a head: its metadata do not say format ${JSON.stringify(FORMAT)}. Pass a file that train-head wrote.`,
    );
  }
  if (metadata['version'] !== VERSION) {
    throw new LastlayerError(
      `${path} is a head of version ${metadata['version'] ?? '(none)'}, but this lastlayer reads version ${VERSION}. Use the ` +
        'lastlayer that wrote it, or train it again.',
    );
  }
  const text = (key: string): string => {
    const value = metadata[key];
    if (value !== undefined) return value;
    throw new LastlayerError(`${path} is damaged: its metadata lack ${key}. Train it again.`);
  };
  const valid = <T>(key: string, value: unknown, isValid: (value: unknown) => value is T): T => {
    if (isValid(value)) return value;
    throw new LastlayerError(`${path} is damaged: its metadata hold no valid ${key}. Train it again.`);
  };
  const json = <T>(key: string, isValid: (value: unknown) => value is T): T => valid(key, parse(text(key)), isValid);
  return {
    kind: valid('kind', text('kind'), isKind),
    thresholds: json('thresholds', isNullOr(isArrayOf(isNumber))),
    labels: json('labels', isArrayOf(isString)),
    modelId: text('modelId'),
    transformId: text('transformId'),
    l2: json('l2', isNumber),
    counts: json('counts', isCounts),
    training: json('training', isTrainingReport),
    temperature: json('temperature', isNumber),
    unknown: json('unknown', isNullOr(isDetector)),
    metrics: json('metrics', isJson),
    created: text('created'),
  };
}

/** undefined, which JSON cannot hold, if the text is not JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whatever JSON.parse returns, but not the undefined of {@link parse}. */
function isJson(value: unknown): value is JsonValue {
  return value !== undefined;
}

function isKind(value: unknown): value is HeadKind {
  return value === 'softmax' || value === 'multilabel';
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isArrayOf<T>(isEntry: (value: unknown) => value is T) {
  return (value: unknown): value is T[] => Array.isArray(value) && value.every(isEntry);
}

function isNullOr<T>(isValue: (value: unknown) => value is T) {
  return (value: unknown): value is T | null => value === null || isValue(value);
}

function isCounts(value: unknown): value is HeadFields['counts'] {
  if (typeof value !== 'object' || value === null) return false;
  const isCount = isArrayOf(isNumber);
  return 'train' in value && isCount(value.train) && 'validation' in value && isCount(value.validation);
}

function isDetector(value: unknown): value is Omit<UnknownDetector, 'means'> {
  if (typeof value !== 'object' || value === null || !('rate' in value) || !('typical' in value)) return false;
  const { rate, typical } = value;
  if (!(isNumber(rate) || rate === 'off') || typeof typical !== 'object' || typical === null) return false;
  return 'count' in typical && isNumber(typical.count) && 'scores' in typical && isArrayOf(isNumber)(typical.scores);
}

function isTrainingReport(value: unknown): value is TrainingReport {
  if (typeof value !== 'object' || value === null) return false;
  const entries = new Map<string, unknown>(Object.entries(value));
  const reasons: unknown[] = ['gradient', 'max-iterations', 'enough', 'line-search'];
  return (
    ['iterations', 'loss', 'gradientNorm', 'tolerance', 'labelSmoothing'].every((key) => isNumber(entries.get(key))) &&
    ['converged', 'whiten'].every((key) => typeof entries.get(key) === 'boolean') &&
    reasons.includes(entries.get('reason'))
  );
}
