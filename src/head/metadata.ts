import { LastlayerError } from '../errors.js';
import type { Head } from './head.js';
import {
  HEAD_KINDS,
  type HeadFields,
  type HeadKind,
  type JsonValue,
  type TrainingReport,
} from './head-fields.js';

const FORMAT = 'lastlayer-head';
const VERSION = '1';

/** Of multilabel heads: what knows version 1 alone would take them for softmax, and so refuses them. */
const MULTILABEL_VERSION = '2';

/** All that a head knows but its tensors. */
export type HeadDescription = Omit<HeadFields, 'weights' | 'bias' | 'unknown'> & {
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
export function decodeMetadata(metadata: Readonly<Record<string, string>>, path: string): HeadDescription {
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
