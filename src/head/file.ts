import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Matrix } from 'ml-matrix';
import { encodeSafetensors, readSafetensors } from '../formats/safetensors.js';
import { LastlayerError, messageOf } from '../util/errors.js';
import { readRegularFile, writeWholeFile } from '../util/files.js';
import { ownVersion } from '../util/version.js';
import {
  Head,
  HEAD_KINDS,
  type HeadFields,
  type HeadKind,
  type JsonValue,
  type TrainingReport,
} from './head.js';

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

const FORMAT = 'lastlayer-head';
const VERSION = '1';

/** Of multilabel heads: what knows version 1 alone would take them for softmax, and so refuses them. */
const MULTILABEL_VERSION = '2';

/** All that a head knows but its tensors. */
type HeadDescription = Omit<HeadFields, 'weights' | 'bias' | 'unknown'> & {
  unknownThreshold: number | null;
};

/** The metadata of a head's file, in which every value is text: strings as they are, all else as JSON. */
export function encodeMetadata(head: Head): Record<string, string> {
  return {
    format: FORMAT,
    version: head.kind === 'softmax' ? VERSION : MULTILABEL_VERSION,
    kind: head.kind,
    thresholds: JSON.stringify(head.thresholds),
    labels: JSON.stringify(head.labels),
    modelId: head.modelId,
    transformId: head.transformId,
    l2: JSON.stringify(head.l2),
    counts: JSON.stringify(head.counts),
    training: JSON.stringify(head.training),
    temperature: JSON.stringify(head.temperature),
    unknownThreshold: JSON.stringify(head.unknown?.threshold ?? null),
    metrics: JSON.stringify(head.metrics),
    created: head.created,
  };
}

/**
 * The reverse of {@link encodeMetadata}.
 * @param path named in errors
 * @throws {LastlayerError} where the metadata are not a head's, are of another version, or lack something
 */
function decodeMetadata(metadata: Readonly<Record<string, string>>, path: string): HeadDescription {
  if (metadata['format'] !== FORMAT) {
    throw new LastlayerError(
      `${path} is not a head: its metadata do not say format ${JSON.stringify(FORMAT)}. Pass a file that train-head wrote.`,
    );
  }
  const versions: unknown[] = [VERSION, MULTILABEL_VERSION];
  if (!versions.includes(metadata['version'])) {
    throw new LastlayerError(
      `${path} is a head of version ${metadata['version'] ?? '(none)'}, and this lastlayer reads versions ${VERSION} and ${MULTILABEL_VERSION}. ` +
        `Use the lastlayer that wrote it, or train it again.`,
    );
  }
  const text = (key: string): string => {
    const value = metadata[key];
    if (value !== undefined) return value;
    throw new LastlayerError(`${path} is damaged: its metadata lack ${key}. Train it again.`);
  };
  const json = <T>(key: string, isValid: (value: unknown) => value is T): T => {
    const value = parse(text(key));
    if (isValid(value)) return value;
    throw new LastlayerError(`${path} is damaged: its metadata hold no valid ${key}. Train it again.`);
  };
  return {
    kind: kindOf(metadata['kind'], path),
    thresholds: 'thresholds' in metadata ? json('thresholds', isNumbersOrNull) : null,
    labels: json('labels', isStrings),
    modelId: text('modelId'),
    transformId: text('transformId'),
    l2: json('l2', isNumber),
    counts: json('counts', isCounts),
    training: json('training', isTrainingReport),
    // Heads of before calibration lack these two.
    temperature: 'temperature' in metadata ? json('temperature', isNumber) : 1,
    unknownThreshold: 'unknownThreshold' in metadata ? json('unknownThreshold', isNumberOrNull) : null,
    metrics: json('metrics', isJson),
    created: text('created'),
  };
}

/** Heads of before multilabel ones do not say. */
function kindOf(text: string | undefined, path: string): HeadKind {
  const kind = HEAD_KINDS.find((known) => known === (text ?? 'softmax'));
  if (kind) return kind;
  throw new LastlayerError(
    `${path} is a head of the kind ${JSON.stringify(text)}, and this lastlayer knows ${HEAD_KINDS.join(' and ')}. Use the ` +
      `lastlayer that wrote it.`,
  );
}

/** undefined, which JSON cannot hold, where the text is no JSON. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whatever JSON.parse gives, but not the undefined of {@link parse}. */
function isJson(value: unknown): value is JsonValue {
  return value !== undefined;
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number';
}

function isNumberOrNull(value: unknown): value is number | null {
  return value === null || isNumber(value);
}

function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isNumber);
}

function isNumbersOrNull(value: unknown): value is number[] | null {
  return value === null || isNumbers(value);
}

function isCounts(value: unknown): value is HeadFields['counts'] {
  if (typeof value !== 'object' || value === null) return false;
  return 'train' in value && isNumbers(value.train) && 'validation' in value && isNumbers(value.validation);
}

function isTrainingReport(value: unknown): value is TrainingReport {
  if (typeof value !== 'object' || value === null) return false;
  const entries = new Map<string, unknown>(Object.entries(value));
  const reasons: unknown[] = ['gradient', 'max-iterations', 'line-search'];
  return (
    ['iterations', 'loss', 'gradientNorm', 'tolerance'].every((key) => isNumber(entries.get(key))) &&
    ['converged', 'standardize'].every((key) => typeof entries.get(key) === 'boolean') &&
    reasons.includes(entries.get('reason'))
  );
}
