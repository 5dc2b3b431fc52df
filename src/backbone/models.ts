import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../util/cache-folder.js';
import { codeOf, LastlayerError, messageOf, UsageError } from '../util/errors.js';
import { fileExists, sha256OfFile, writeWholeFile } from '../util/files.js';
import { type ModelCard, type Provenance, readCard, writeModel } from './model-card.js';
import { type Model, readModel } from './model.js';
import { TORCHVISION_MODELS } from './torchvision.js';

/** Name of the backbone that ships with the project, distilled on generated pictures; see models/README.md. */
export const BUNDLED = 'resnet18-bundled.int8';

/** Its file, which is part of the package. */
export const BUNDLED_PATH = fileURLToPath(new URL(`../../models/${BUNDLED}.onnx`, import.meta.url));

/** Name of the model that is used where none is chosen. */
export const DEFAULT_NAME = 'resnet18';

/** Where models are written, see {@link cacheFolder}. */
export function modelsHome(): string {
  return cacheFolder('models');
}

/**
 * Where models are looked for, in this order: `models` in the working directory, `models` of the clone or package, and
 * {@link modelsHome}.
 * @param modelsDir takes the place of the first and the last
 */
export function modelFolders(modelsDir?: string): string[] {
  const bundled = dirname(BUNDLED_PATH);
  const folders = modelsDir === undefined ? ['models', bundled, modelsHome()] : [modelsDir, bundled];
  return [...new Set(folders.map((folder) => resolve(folder)))];
}

/** A model in one of the folders. */
export interface StoredModel {
  path: string;
  /** Names that `--model` takes for it. */
  names: string[];
  /** `<name>@<first 12 digits of the sha256>` */
  id: string;
  precision: ModelCard['precision'];
  /** Size of the file. */
  bytes: number;
  card: ModelCard | undefined;
}

/**
 * The models in the folders. Each card is read once; models without one are read to tell their id, and files that are no models left out.
 * @throws {LastlayerError} if a card or a folder cannot be read
 */
export async function storedModels(modelsDir?: string): Promise<StoredModel[]> {
  const folders = modelFolders(modelsDir);
  const models: StoredModel[] = [];
  for (const path of (await Promise.all(folders.map(modelFilesIn))).flat()) {
    const card = await readCard(path);
    const described = card ?? (await cardless(path));
    if (!described) continue;
    const { id, precision } = described;
    models.push({ path, names: [], id, precision, bytes: (await stat(path)).size, card });
  }
  const pathOf: PathOfId = (id, inOrder) => {
    const found = inOrder.flatMap((folder) => models.filter((each) => each.id === id && dirname(each.path) === folder));
    return Promise.resolve((found.find(({ card }) => card) ?? found[0])?.path);
  };
  for (const name of await namesIn(folders)) {
    const path = await pathNamed(name, folders, pathOf).catch(() => undefined);
    models.find((each) => each.path === path)?.names.push(name);
  }
  return models;
}

/** The names that `--model` takes, as the folders have them. No model or card is read. */
export async function modelNames(modelsDir?: string): Promise<string[]> {
  return namesIn(modelFolders(modelsDir));
}

/** The file of the model that is used where none is chosen: the one named resnet18, else the bundled one. */
export async function defaultModel(modelsDir?: string): Promise<string> {
  return (await pathNamed(DEFAULT_NAME, modelFolders(modelsDir))) ?? BUNDLED_PATH;
}

interface Lookup {
  modelsDir?: string | undefined;
  /** What needs the model, for the error: the file of a head, or a data set. */
  neededBy?: string | undefined;
}

/**
 * The file of a model.
 * @param wanted its path, name or id
 * @throws {LastlayerError} if there is none; it says where it was looked for, and how to get it
 */
export async function modelFile(wanted: string, { modelsDir, neededBy }: Lookup = {}): Promise<string> {
  const folders = modelFolders(modelsDir);
  const found = isId(wanted) ? await pathOfId(wanted, folders) : await pathNamed(wanted, folders);
  if (found !== undefined) return found;
  if (isPath(wanted) || (await fileExists(wanted))) return resolve(wanted);
  const places = folders.join(', ');
  throw new LastlayerError(
    isId(wanted)
      ? `${neededBy === undefined ? `The model ${wanted}` : `${neededBy} needs the model ${wanted}, which`} is in none of the ` +
          `folders of models: ${places}. ${howToGet(wanted)}`
      : `There is no model ${wanted}: neither a file in ${resolve()}, nor a name in ${places}. ` +
          `\`npm run models\` lists what there is${commandFor(wanted)}.`,
    'MODEL_NOT_FOUND',
  );
}

/** The id that a name stands for, if there is such a name. */
export async function idNamed(name: string, modelsDir?: string): Promise<string | undefined> {
  const path = isPath(name) ? undefined : await pathNamed(name, modelFolders(modelsDir)).catch(() => undefined);
  return path === undefined ? undefined : ((await readCard(path)) ?? (await cardless(path)))?.id;
}

/** Where to write a model. */
export interface Destination {
  /** A file of one's own, in place of the folder of models. It is not replaced by another model without `force`. */
  out?: string | undefined;
  /** Name that is to stand for the model from now on. */
  name?: string | undefined;
  /** Replace `out`. @default false */
  force?: boolean | undefined;
  /** Folder of models to write to. @default `$LASTLAYER_HOME/models`, else in the platform's cache folder */
  modelsDir?: string | undefined;
  onNotice?: ((line: string) => void) | undefined;
}

/** A model that was written. */
export interface WrittenModel {
  path: string;
  card: ModelCard;
  /** Name that stands for it; null if it was written to `out`, or another model of that name comes first. */
  knownAs: string | null;
  /** Id of the model that had the name, or was in the file; `another file` if that was no model; null if there was none. */
  replaced: string | null;
}

/** @throws {UsageError} if a model cannot be called so, or be written there */
export function checkDestination({ out, name }: Pick<Destination, 'out' | 'name'>): void {
  if (out !== undefined && name !== undefined) {
    throw new UsageError('--out and --name name two places; leave one out.');
  }
  if (out !== undefined && !out.endsWith('.onnx')) {
    throw new UsageError(`--out is ${resolve(out)}; a name that ends in .onnx is expected.`);
  }
  if (name !== undefined && toName(name) !== name) {
    throw new UsageError(
      `--name is ${name}; letters, digits, ".", "-" and "_" are expected, with a letter or digit at both ends.`,
    );
  }
}

/**
 * Writes a model and its card to the folder of models, under its id, and lets a name stand for it; or to a file of one's own.
 * No other model there is touched. A notice says what had the name before.
 * @param fallbackName the name, if the destination has neither a name nor a file
 * @throws {LastlayerError} if it cannot be written, or `out` is another model and `force` is not given
 */
export async function placeModel(
  model: Model & { width: number },
  provenance: Provenance,
  { out, name, force = false, modelsDir, onNotice }: Destination,
  fallbackName: string,
): Promise<WrittenModel> {
  if (out !== undefined) {
    const path = resolve(out);
    const replaced = await otherModelIn(path, model);
    if (replaced !== null && !force) {
      throw new LastlayerError(
        `${path} is ${replaced}, which heads and stores may need. Name another file with --out, leave --out out to keep both ` +
          'models, or replace it with --force.',
      );
    }
    const card = await writeModel(path, model, provenance);
    if (replaced !== null) onNotice?.(`${path} was ${replaced}, which is replaced by ${card.id}.`);
    return { path, card, knownAs: null, replaced };
  }
  const folder = resolve(modelsDir ?? modelsHome());
  const path = join(folder, `${model.id.replaceAll(/[^\w.@-]/g, '.')}.onnx`);
  const card = (await intactCard(path, model)) ?? (await writeModel(path, model, provenance));
  const names = await letStandFor(name ?? toName(fallbackName), path, card.id, { folder, modelsDir, onNotice });
  return { path, card, ...names };
}

/** The id of the other model in a file; null if there is none. */
async function otherModelIn(path: string, { sha256 }: Model): Promise<string | null> {
  if (!(await fileExists(path)) || (await sha256OfFile(path)) === sha256) return null;
  return (await readCard(path))?.id ?? (await cardless(path))?.id ?? 'another file';
}

/** The card of a model that is there already, whole. */
async function intactCard(path: string, { sha256 }: Model): Promise<ModelCard | undefined> {
  const card = await readCard(path);
  return card?.sha256 === sha256 && (await fileExists(path)) && (await sha256OfFile(path)) === sha256
    ? card
    : undefined;
}

/** Lets a name stand for a model. @returns the name, and the id that it stood for, as {@link WrittenModel} has them */
async function letStandFor(
  name: string,
  path: string,
  id: string,
  { folder, modelsDir, onNotice }: { folder: string; modelsDir: string | undefined } & Pick<Destination, 'onNotice'>,
): Promise<Pick<WrittenModel, 'knownAs' | 'replaced'>> {
  const before = (await idNamed(name, modelsDir)) ?? null;
  const file = pointerPath(folder, name);
  try {
    await writeWholeFile(file, `${id}\n`);
  } catch (error) {
    throw new LastlayerError(`The name ${name} cannot be written to ${file}: ${messageOf(error)}. Make room.`);
  }
  const now = await pathNamed(name, modelFolders(modelsDir));
  if (now !== undefined && now !== path) {
    onNotice?.(`${name} still stands for ${now}, which comes first. Choose the new model with --model ${id}.`);
    return { knownAs: null, replaced: null };
  }
  if (before === null || before === id) return { knownAs: name, replaced: null };
  onNotice?.(
    `${name} now stands for ${id}. It stood for ${before}, which is kept: heads and stores find it by its id.`,
  );
  return { knownAs: name, replaced: before };
}

/** A name for a model, out of any text. */
function toName(text: string): string {
  const name = text.replaceAll(/[^\w.-]+/g, '-').replaceAll(/^[^a-z0-9]+|[^a-z0-9]+$/gi, '');
  return name === '' ? 'model' : name;
}

function isId(wanted: string): boolean {
  return /@[0-9a-f]{12}$/.test(wanted);
}

function isPath(wanted: string): boolean {
  return /[\\/]/.test(wanted);
}

/** The file that says which model a name stands for. */
function pointerPath(folder: string, name: string): string {
  return join(folder, `${name}.id`);
}

async function filesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return [];
    throw new LastlayerError(`The folder of models ${folder} cannot be read: ${messageOf(error)}.`);
  }
}

async function modelFilesIn(folder: string): Promise<string[]> {
  const files = await filesIn(folder);
  return files.filter((file) => file.endsWith('.onnx')).map((file) => join(folder, file));
}

/** The names in the folders. */
async function namesIn(folders: readonly string[]): Promise<string[]> {
  const files = (await Promise.all(folders.map(filesIn))).flat();
  const names = files.flatMap((file) => /^([^@]+)\.(?:id|onnx)$/.exec(file)?.[1] ?? []);
  return [...new Set(names)].sort();
}

/** The file of the model with an id, in the first folder that has it. */
type PathOfId = (id: string, folders: readonly string[]) => Promise<string | undefined>;

/**
 * The file that a name stands for in the first folder that has it: the model whose id is in `NAME.id`, or `NAME.onnx`.
 * @throws {LastlayerError} if there is no model of that id
 */
async function pathNamed(
  name: string,
  folders: readonly string[],
  pathOf: PathOfId = pathOfId,
): Promise<string | undefined> {
  if (isPath(name)) return undefined;
  for (const folder of folders) {
    const pointer = pointerPath(folder, name);
    const id = await readFile(pointer, 'utf8').catch(() => undefined);
    if (id !== undefined) {
      const path = await pathOf(id.trim(), [folder, ...folders.filter((other) => other !== folder)]);
      if (path !== undefined) return path;
      throw new LastlayerError(
        `${pointer} says that ${name} is ${id.trim()}, which is in none of ${folders.join(', ')}. ${howToGet(id.trim())} ` +
          'Or delete the file.',
        'MODEL_NOT_FOUND',
      );
    }
    const file = join(folder, `${name}.onnx`);
    if (await fileExists(file)) return file;
  }
  return undefined;
}

async function pathOfId(id: string, folders: readonly string[]): Promise<string | undefined> {
  const withoutCard: string[] = [];
  for (const folder of folders) {
    for (const path of await modelFilesIn(folder)) {
      const card = await readCard(path);
      if (card?.id === id) return path;
      if (!card) withoutCard.push(path);
    }
  }
  // Only for these, the file itself has to be read.
  for (const path of withoutCard) {
    if ((await cardless(path))?.id === id) return path;
  }
  return undefined;
}

/** What can be told of a model without a card; undefined if it is no model. */
async function cardless(path: string): Promise<Pick<StoredModel, 'id' | 'precision'> | undefined> {
  try {
    const { id, quantized } = await readModel(path);
    return { id, precision: quantized ? 'int8' : 'fp32' };
  } catch (error) {
    if (error instanceof LastlayerError) return undefined;
    throw error;
  }
}

function howToGet(id: string): string {
  const [name = ''] = id.split('@');
  return (
    'Where it was made, `npm run models` names its file: bring that here with `npm run fetch-model -- --from FILE`, or pass ' +
    `--model FILE${name.endsWith('.int8') ? '' : commandFor(name)}.`
  );
}

/** Ends a sentence with the command that gets a model of this name, if there is one. */
function commandFor(name: string): string {
  const [, float32 = '', int8] = /^(.+?)(\.int8)?$/.exec(name) ?? [];
  const [, model = '', newer] = /^(.+?)(-v2)?$/.exec(float32) ?? [];
  if (!TORCHVISION_MODELS.includes(model)) return '';
  if (int8) return `; \`npm run quantize -- --model ${float32}\` makes it`;
  return `; \`npm run fetch-model -- --model ${model}${newer ? ' --weights IMAGENET1K_V2' : ''}\` gets torchvision's`;
}
