import { readFile } from 'node:fs/promises';
import { InvalidArgumentError, Option } from 'commander';
import type { Backbone } from '../backbone/backbone.js';
import { BUNDLED_PATH } from '../backbone/load.js';
import { type Device, DEVICES } from '../backbone/session.js';
import { SPLITS } from '../data/dataset.js';
import type { ClassWeights } from '../head/examples.js';
import { VIEW_SETS, type ViewSet } from '../image/views.js';
import { messageOf, UsageError } from '../util/errors.js';
import { isInRange, requirement, type NumberRange } from '../util/validate.js';

/** Flags of all commands that run the backbone. */
export interface ModelFlags {
  model?: string | undefined;
  device: Device;
  threads?: number | undefined;
}

export const modelOption = (): Option =>
  new Option(
    '--model <file>',
    'the network: .onnx, .pth or .safetensors (default: models/resnet18.onnx, else the bundled ResNet-18)',
  );

export const deviceOption = (): Option =>
  new Option('--device <name>', 'where the network runs; see "GPU" in README.md')
    .choices(DEVICES)
    .default('cpu');

export const threadsOption = (): Option =>
  new Option('--threads <n>', 'threads for the network (default: one a core)').argParser(wholeNumber);

export const storeOption = (): Option =>
  new Option(
    '--store <dir>',
    'where the embeddings are kept: a folder, or an address such as s3://bucket/folder',
  ).default('embeddings');

export const precisionOption = (): Option =>
  new Option(
    '--precision <name>',
    'int8 is about three times as fast; its embeddings are kept apart (default: the one that the network has)',
  ).choices(['fp32', 'int8']);

export const batchSizeOption = (): Option =>
  new Option(
    '--batch-size <n>',
    'pictures that go through the network together (default: 8 on the processor, else 32)',
  ).argParser(wholeNumber);

export const concurrencyOption = (): Option =>
  new Option('--concurrency <n>', 'pictures that are decoded at the same time (default: 32)').argParser(
    wholeNumber,
  );

export const splitOption = (description: string): Option =>
  new Option('--split <name>', description).choices(SPLITS);

export const viewsOption = (description: string): Option =>
  new Option(
    '--views <names>',
    `${description}: ${VIEW_SETS.join(', ')}, both as "flip,crops", or none`,
  ).argParser(viewSets);

/** What the views are, for the help of commands that take them. */
export const VIEWS_HELP = `Views of a picture, beside the middle of it: flip, its mirror image; crops, its four corners. Both together are the ten
crops of Krizhevsky, Sutskever and Hinton 2012 (each corner is mirrored, too).`;

export const headOption = (): Option => new Option('--head <file>', 'the head').default('head.safetensors');

export const jsonOption = (): Option =>
  new Option('--json', 'print one JSON object on stdout, and everything else on stderr');

/** A whole number of at least 1. */
export function wholeNumber(text: string): number {
  return numberIn(text, { integer: true, min: 1 });
}

/** Names of sets of views with commas between, or `none`. */
function viewSets(text: string): ViewSet[] {
  if (text.trim() === 'none') return [];
  return text.split(',').map((part) => {
    const set = VIEW_SETS.find((name) => name === part.trim());
    if (set) return set;
    throw new InvalidArgumentError(`"${part.trim()}" is none of ${VIEW_SETS.join(', ')} and none.`);
  });
}

/** A finite number of at least 0. */
export function notNegative(text: string): number {
  return numberIn(text, { min: 0 });
}

/** A number of at least 0 and below 1. */
export function fraction(text: string): number {
  return numberIn(text, { min: 0, below: 1, example: 0.2 });
}

function numberIn(text: string, range: NumberRange): number {
  const value = notBlank(text);
  if (isInRange(value, range)) return value;
  throw new InvalidArgumentError(requirement(range));
}

/** Three numbers, for red, green and blue. */
export function colour(text: string): [number, number, number] {
  const [red = NaN, green = NaN, blue = NaN, ...rest] = text.split(',').map(notBlank);
  if (![red, green, blue].every(Number.isFinite) || rest.length > 0) {
    throw new InvalidArgumentError(
      'Three numbers with commas between are expected, such as 0.485,0.456,0.406.',
    );
  }
  return [red, green, blue];
}

function notBlank(text: string): number {
  return text.trim() === '' ? NaN : Number(text);
}

/** Bytes, of a number of GiB above 0. */
export function gibibytes(text: string): number {
  return numberIn(text, { above: 0 }) * 2 ** 30;
}

/** Loads the backbone as the flags say; undefined flags are left out, as exact optional properties want it. */
export function backboneOptions({ model, ...flags }: ModelFlags) {
  return { ...sessionOptions(flags), model };
}

/** Where a network runs, as the flags say. */
export function sessionOptions({ device, threads }: Omit<ModelFlags, 'model'>) {
  return { device, threads };
}

/** For --precision fp32. @throws {UsageError} where the network has no float32 weights */
export function refuseIntegers({ quantized, id, source }: Backbone): void {
  if (!quantized) return;
  const instead =
    source === BUNDLED_PATH
      ? '`npm run fetch-model` gets a float32 network.'
      : 'Name the float32 network that it was made from with --model.';
  throw new UsageError(
    `--precision is fp32, but ${id} computes in int8 and has no other weights. Leave --precision out, or: ${instead}`,
  );
}

/**
 * What --class-weights says: `none`, `balanced`, JSON such as {"ants": 2}, or the path of a file that holds it.
 * @throws {UsageError} where it is none of these
 */
export async function readClassWeights(given: string): Promise<ClassWeights> {
  if (given === 'none' || given === 'balanced') return given;
  const isInline = given.trimStart().startsWith('{');
  const text = isInline ? given : await textOf(given);
  const where = isInline ? '--class-weights' : given;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(
      `${where} is no JSON: ${messageOf(error)}. Write for example {"ants": 2, "bees": 1}.`,
    );
  }
  if (isWeights(value)) return value;
  throw new UsageError(`${where} holds ${JSON.stringify(value)}; write for example {"ants": 2, "bees": 1}.`);
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(
      `--class-weights is ${path}: neither none, balanced, JSON nor a readable file (${messageOf(error)}).`,
    );
  }
}

function isWeights(value: unknown): value is Record<string, number> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((weight) => typeof weight === 'number')
  );
}
