import { mkdir, rm } from 'node:fs/promises';
import { basename, dirname, join, parse } from 'node:path';
import type { Transform } from '../image/transform.js';
import { codeOf, LastlayerError, messageOf } from '../util/errors.js';
import { readRegularFile, writeWholeFiles } from '../util/files.js';
import type { Model } from './model.js';

/** Describes a model file, in a JSON file beside it, e.g. models/resnet18.json beside models/resnet18.onnx. */
export interface ModelCard {
  name: string;
  /** Name of the model file. */
  file: string;
  /** Identifies the model in embeddings and heads: `<name>@<first 12 digits of the sha256>`. */
  id: string;
  /** Of the model file. */
  sha256: string;
  featureWidth: number;
  /** Classes of the model's own last layer; null if it has none. */
  classes: number | null;
  /** False if the weights were never trained. */
  pretrained: boolean;
  /** int8 if it computes in integers. */
  precision: 'fp32' | 'int8';
  /** The file or address that the weights came from, and that file's sha256. */
  source: string;
  sourceSha256: string | null;
  licence: string;
  /** Tensor or operator that the model was cut at; null for the pooled features. */
  features: string | null;
  transform: Transform;
  /** ISO 8601. */
  created: string;
}

/** Where a model came from and under what terms. */
export interface Provenance {
  source: string;
  sourceSha256?: string | undefined;
  licence: string;
  /** Tensor or operator that the model was cut at. @default the pooled features */
  features?: string | undefined;
}

/**
 * Writes a model and its card, both or neither.
 * @throws {LastlayerError} if they cannot be written; earlier ones are then as they were
 */
export async function writeModel(
  modelPath: string,
  model: Model & { width: number },
  { source, sourceSha256, licence, features }: Provenance,
): Promise<ModelCard> {
  const { name, id, sha256, width, classes, pretrained, quantized, transform, bytes } = model;
  const card: ModelCard = {
    name,
    file: basename(modelPath),
    id,
    sha256,
    featureWidth: width,
    classes: classes ?? null,
    pretrained,
    precision: quantized ? 'int8' : 'fp32',
    source,
    sourceSha256: sourceSha256 ?? null,
    licence,
    features: features ?? null,
    transform,
    created: new Date().toISOString(),
  };
  try {
    await mkdir(dirname(modelPath), { recursive: true });
    await writeWholeFiles(
      [
        { path: modelPath, content: bytes },
        { path: cardPath(modelPath), content: `${JSON.stringify(card, null, 2)}\n` },
      ],
      // A model without a card works; with the card of another model it is refused.
      () => rm(cardPath(modelPath), { force: true }),
    );
  } catch (error) {
    throw new LastlayerError(
      `The model ${modelPath} cannot be written: ${messageOf(error)}. Make room, or name another place with ` +
        '--out or $LASTLAYER_HOME.',
    );
  }
  return card;
}

function cardPath(modelPath: string): string {
  return join(dirname(modelPath), `${parse(modelPath).name}.json`);
}

/**
 * Reads the card of a model file.
 * @returns undefined if there is none, or only that of another file
 * @throws {LastlayerError} if it cannot be read
 */
export async function readCard(modelPath: string): Promise<ModelCard | undefined> {
  const path = cardPath(modelPath);
  let text: string;
  try {
    text = (await readRegularFile(path)).toString();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw new LastlayerError(`The model card ${path} cannot be read: ${messageOf(error)}.`);
  }
  const card = parseCard(text);
  return card?.file === basename(modelPath) ? card : undefined;
}

function parseCard(text: string): ModelCard | undefined {
  try {
    const card: unknown = JSON.parse(text);
    const { sha256, id }: Partial<ModelCard> = card ?? {};
    return typeof sha256 === 'string' && typeof id === 'string' ? (card as ModelCard) : undefined;
  } catch {
    return undefined;
  }
}
