import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { InvalidArgumentError, Option } from 'commander';
import type { BackboneOptions } from '../backbone/load.js';
import { DEVICES } from '../backbone/device.js';
import type { Destination } from '../backbone/models.js';
import { SPLITS } from '../data/dataset.js';
import type { UnknownRate } from '../head/unknown.js';
import { VIEW_SETS, type ViewSet } from '../image/views.js';
import { DEFAULT_HEAD, DEFAULT_STORE } from '../util/defaults.js';
import { LastlayerError, messageOf, UsageError } from '../util/errors.js';
import { writeWholeFile } from '../util/files.js';
import { isInRange, type NumberRange, requirement } from '../util/validate.js';
import { say } from './terminal.js';

/** Flags of all commands that run the backbone. */
export type ModelFlags = Pick<BackboneOptions, 'model' | 'device' | 'threads'>;

/** Words that a shell completes as the value of an option that takes others, too. */
type Words = () => readonly string[] | Promise<readonly string[]>;

const WORDS = new WeakMap<Option, Words>();

/** Lets a shell complete words as the value of an option, see `completion`. With `choices`, there is no need to. */
export function completedBy(words: Words, option: Option): Option {
  WORDS.set(option, words);
  return option;
}

export async function wordsOf(option: Option): Promise<readonly string[]> {
  return (await WORDS.get(option)?.()) ?? [];
}

/** Loads what it needs only when it is asked. */
const modelNames: Words = async () => (await import('../backbone/models.js')).modelNames();

export const modelOption = (fallback = 'resnet18 if there is one, else the bundled ResNet-18'): Option =>
  completedBy(
    modelNames,
    new Option(
      '--model <name|file>',
      `backbone: a name or id, as \`npm run models\` lists them, or a file: .onnx, .pth, .safetensors (default: ${fallback})`,
    ),
  );

/** {@link modelOption} of commands that use a head. */
export const modelOfHeadOption = (): Option => modelOption('the one that the head was trained on');

export const deviceOption = (): Option =>
  new Option('--device <name>', 'where the backbone runs; see docs/performance.md').choices(DEVICES).default('cpu');

export const threadsOption = (): Option =>
  new Option('--threads <n>', 'threads of the backbone (default: one per core)').argParser(wholeNumber);

export const storeOption = (): Option =>
  new Option('--store <dir>', 'embedding store: a folder, or an address such as s3://bucket/folder').default(
    DEFAULT_STORE,
  );

export const datasetOption = (): Option =>
  new Option('--dataset <path>', 'data set in the store, as given to embed (default: the one embedded last)');

export const modelIdOption = (): Option =>
  completedBy(
    modelNames,
    new Option('--model <id>', 'id or name of the backbone, if several have embedded the data set'),
  );

/** Flags of the commands that write a model. */
export type DestinationFlags = Pick<Destination, 'name' | 'out' | 'force'>;

export const nameOption = (fallback: string): Option =>
  new Option('--name <name>', `what to call the model; an earlier one of that name is kept (default: ${fallback})`);

export const modelOutOption = (): Option =>
  new Option('--out <file>', 'write the model to this .onnx file, not to the folder of models');

export const forceOption = (): Option => new Option('--force', 'let --out replace another model');

export const precisionOption = (): Option =>
  new Option(
    '--precision <name>',
    'int8 is about twice as fast, with embeddings of its own (default: that of the model file)',
  ).choices(['fp32', 'int8']);

export const batchSizeOption = (): Option =>
  new Option('--batch-size <n>', 'pictures per batch of the backbone (default: 4 on the CPU, else 32)').argParser(
    wholeNumber,
  );

export const concurrencyOption = (): Option =>
  new Option('--concurrency <n>', 'pictures to decode at the same time (default: 32, or two for each core)').argParser(
    wholeNumber,
  );

export const splitOption = (description: string): Option => new Option('--split <name>', description).choices(SPLITS);

export const viewsOption = (description: string, fallback = 'none'): Option =>
  completedBy(
    () => [...VIEW_SETS, VIEW_SETS.join(','), 'none'],
    new Option(
      '--views <names>',
      `${description}: ${VIEW_SETS.join(', ')}, "flip,crops" or none (default: ${fallback})`,
    ).argParser(viewSets),
  );

export const unknownOption = (fallback: string): Option =>
  completedBy(
    () => ['off'],
    new Option(
      '--unknown <rate>',
      `share of right predictions to call unlike the training pictures, or off (default: ${fallback})`,
    ).argParser(unknownRate),
  );

/** Explains the views, in the help of commands that take them. */
export const VIEWS_HELP = `Augmented views of a picture, besides its center crop: flip is the mirror image, crops are the four corners. Together they are
the ten crops of Krizhevsky, Sutskever and Hinton 2012, where each corner is mirrored too.`;

export const headOption = (): Option => new Option('--head <file>', 'head file').default(DEFAULT_HEAD);

export const jsonOption = (): Option =>
  new Option('--json', 'print one JSON object on stdout, and everything else on stderr');

/** Parses a whole number of at least 1. */
export function wholeNumber(text: string): number {
  return numberIn(text, { integer: true, min: 1 });
}

/** Parses a number of at least 0. */
export function notNegative(text: string): number {
  return numberIn(text, { min: 0 });
}

/** Parses a number of at least 0 and below 1. */
export function fraction(text: string): number {
  return numberIn(text, { min: 0, below: 1, example: 0.2 });
}

/** Parses a rate above 0 and below 1, or `off`. */
function unknownRate(text: string): UnknownRate {
  if (text.trim() === 'off') return 'off';
  const value = toNumber(text);
  if (isInRange(value, { above: 0, below: 1 })) return value;
  throw new InvalidArgumentError('It must be a number above 0 and below 1, such as 0.05, or off.');
}

/** Parses a number above 0. */
export function aboveZero(text: string): number {
  return numberIn(text, { above: 0 });
}

/** Parses a port. */
export function port(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= 65535) return value;
  throw new InvalidArgumentError('It must be a port, from 0 to 65535.');
}

/** Parses a number of GiB above 0, into bytes. */
export function gibibytes(text: string): number {
  return numberIn(text, { above: 0 }) * 2 ** 30;
}

function numberIn(text: string, range: NumberRange): number {
  const value = toNumber(text);
  if (isInRange(value, range)) return value;
  throw new InvalidArgumentError(requirement(range));
}

/** Unlike `Number`, not 0 for a blank text. */
function toNumber(text: string): number {
  return text.trim() === '' ? NaN : Number(text);
}

/** Parses three numbers, for red, green and blue. */
export function colour(text: string): [number, number, number] {
  const [red = NaN, green = NaN, blue = NaN, ...rest] = text.split(',').map(toNumber);
  if ([red, green, blue].every(Number.isFinite) && rest.length === 0) return [red, green, blue];
  throw new InvalidArgumentError('It must be three numbers separated by commas, such as 0.485,0.456,0.406.');
}

/** Parses names of view sets, separated by commas, or `none`. */
function viewSets(text: string): ViewSet[] {
  if (text.trim() === 'none') return [];
  return text.split(',').map((part) => {
    const name = part.trim();
    const set = VIEW_SETS.find((known) => known === name);
    if (set) return set;
    throw new InvalidArgumentError(`Unknown view "${name}". Use ${VIEW_SETS.join(', ')} or none.`);
  });
}

/** Pictures that come with a clone, for a first try; the installed package has none. */
const EXAMPLES = fileURLToPath(new URL('../../test/fixtures/examples', import.meta.url));

/**
 * The data set to work on: the given one, else the example pictures.
 * @param usage how to name one, e.g. `npm run embed -- FOLDER`
 * @throws {UsageError} if none is given and there are no examples
 */
export function datasetOrExamples(given: string | undefined, usage: string): string {
  if (given !== undefined) return given;
  if (!existsSync(EXAMPLES)) {
    throw new UsageError(`No data set is named. Name a folder of pictures or a manifest: ${usage}`);
  }
  say(`No data set is named. Using the example pictures: ${EXAMPLES}`);
  say(`To use your own: ${usage}`);
  return EXAMPLES;
}

/** Writes the file of --out, whole or not at all. @throws {LastlayerError} if it cannot be written */
export async function writeOut(path: string, text: string): Promise<void> {
  try {
    await writeWholeFile(path, text);
  } catch (error) {
    throw new LastlayerError(
      `--out ${path} cannot be written: ${messageOf(error)}. Name a file in an existing folder.`,
    );
  }
}
