import { mkdir, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { LastlayerError, messageOf } from '../errors.js';
import { asCalled } from '../invocation.js';
import { Backbone } from './backbone.js';
import { fileExists } from './file-exists.js';
import { readCard, writeModel } from './model-card.js';
import { readModel, toModel } from './model.js';
import { probeModel } from './probe.js';
import { UNTRAINED, UNTRAINED_WIDTH, untrainedModel } from './untrained.js';
import type { SessionOptions } from './session.js';

export interface BackboneOptions extends SessionOptions {
  /** A model file: .onnx, or a ResNet's checkpoint (.pth, .safetensors). */
  model?: string;
  /** Folder of the models that were fetched. Default: `models` in the working directory. */
  modelsDir?: string;
  /** Where no model is given: prefer the one of this id, if the models folder has it. */
  modelId?: string;
  /** Told what the user should know: that the features are untrained, that the model could not be cached. */
  onNotice?: (line: string) => void;
}

/**
 * Loads the trunk: the given model, else `resnet18.onnx` of the models folder, else an untrained ResNet-18, which is
 * made on the spot and cached there.
 * @throws {LastlayerError} where the model is missing, unreadable or of no use
 */
export async function loadBackbone(options: BackboneOptions = {}): Promise<Backbone> {
  const folder = resolve(options.modelsDir ?? 'models');
  const notice = options.onNotice ?? (() => undefined);
  const path = await modelPath(folder, options);
  const backbone = path ? await backboneOf(path, options) : await untrainedBackbone(folder, options, notice);
  if (!backbone.pretrained) {
    notice(
      `The features are UNTRAINED (${UNTRAINED}): good for a try, poor for real use. ` +
        asCalled('`npm run fetch-model` gets the ImageNet weights.'),
    );
  }
  return backbone;
}

async function modelPath(folder: string, { model, modelId }: BackboneOptions): Promise<string | undefined> {
  if (model !== undefined) return resolve(model);
  const wanted = modelId === undefined ? undefined : await findModel(folder, modelId);
  if (wanted !== undefined) return wanted;
  const fetched = join(folder, 'resnet18.onnx');
  return (await fileExists(fetched)) ? fetched : undefined;
}

/** The model of the folder whose card has this id. */
async function findModel(folder: string, id: string): Promise<string | undefined> {
  const files = await readdir(folder).catch(() => []);
  for (const file of files.filter((name) => name.endsWith('.onnx'))) {
    const card = await readCard(join(folder, file));
    if (card?.id === id) return join(folder, file);
  }
  return undefined;
}

async function backboneOf(path: string, options: SessionOptions): Promise<Backbone> {
  const model = await readModel(path);
  const card = await readCard(path);
  if (card && card.sha256 !== model.sha256) {
    throw new LastlayerError(
      `${path} is not the file that its card describes (sha256 ${model.sha256.slice(0, 12)}…, the card says ` +
        `${card.sha256.slice(0, 12)}…): it was damaged or replaced. Fetch it again, or delete the .json beside it.`,
    );
  }
  const width = model.width ?? (await probeModel(model, path, options)).width;
  return new Backbone({ ...model, width }, path, options);
}

async function untrainedBackbone(
  folder: string,
  options: SessionOptions,
  notice: (line: string) => void,
): Promise<Backbone> {
  const path = join(folder, `${UNTRAINED}.onnx`);
  if (await fileExists(path)) return backboneOf(path, options);
  const model = { ...toModel(untrainedModel(), path, false), width: UNTRAINED_WIDTH };
  try {
    await mkdir(folder, { recursive: true });
    await writeModel(path, model, { source: 'drawn from a fixed seed', licence: 'MIT' });
  } catch (error) {
    notice(`The untrained model could not be cached in ${folder}: ${messageOf(error)}.`);
  }
  return new Backbone(model, path, options);
}
