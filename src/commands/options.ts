import { InvalidArgumentError, Option } from 'commander';
import { DEVICES, type Device } from '../backbone/index.js';
import { SPLITS, VIEW_SETS, type ViewSet } from '../images/index.js';

/** Flags of all commands that run the trunk. */
export interface ModelFlags {
  model?: string;
  device: Device;
  threads?: number;
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

/** A whole number from 1 on. */
export function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new InvalidArgumentError('A whole number from 1 on is expected.');
  }
  return value;
}

/** Names of sets of views with commas between, or `none`. */
export function viewSets(text: string): ViewSet[] {
  if (text.trim() === 'none') return [];
  return text.split(',').map((part) => {
    const set = VIEW_SETS.find((name) => name === part.trim());
    if (set) return set;
    throw new InvalidArgumentError(`"${part.trim()}" is none of ${VIEW_SETS.join(', ')} and none.`);
  });
}

/** A finite number from 0 on. */
export function notNegative(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError('A number from 0 on is expected.');
  }
  return value;
}

/** A number from 0 on that is less than 1. */
export function fraction(text: string): number {
  const value = notNegative(text);
  if (value >= 1) throw new InvalidArgumentError('A number from 0 to less than 1 is expected, such as 0.2.');
  return value;
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
  const value = notNegative(text);
  if (value === 0) throw new InvalidArgumentError('A number of GiB above 0 is expected.');
  return value * 2 ** 30;
}

/** Loads the trunk as the flags say; undefined flags are left out, as exact optional properties want it. */
export function backboneOptions({ model, ...flags }: ModelFlags) {
  return { ...sessionOptions(flags), ...(model === undefined ? {} : { model }) };
}

/** Where a network runs, as the flags say. */
export function sessionOptions({ device, threads }: Omit<ModelFlags, 'model'>) {
  return { device, ...(threads === undefined ? {} : { threads }) };
}
