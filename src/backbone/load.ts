import { readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { LastlayerError } from '../errors.js';
import { asCalled } from '../invocation.js';
import { Backbone } from './backbone.js';
import { ANTS_AND_BEES, BUNDLED, BUNDLED_PATH } from './bundled.js';
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
  /** Told what the user should know: that the features are the bundled ones, or untrained. */
  onNotice?: (line: string) => void;
}

/**
 * Loads the trunk: the given model, else the wanted one, else `resnet18.onnx` of the models folder, else the bundled one.
 * @throws {LastlayerError} where the model is missing, unreadable or of no use
 */
export async function loadBackbone(options: BackboneOptions = {}): Promise<Backbone> {
  const path = await modelPath(options);
  const backbone = await backboneOf(path, options);
  if (path === BUNDLED_PATH) {
    options.onNotice?.(
      `The features are the bundled ones (${BUNDLED}), pretrained on generated pictures. ` +
        asCalled('`npm run fetch-model` gets the ImageNet ones, which score ') +
        `${ANTS_AND_BEES.imageNet} % against ${Math.round(ANTS_AND_BEES.bundled)} % on the ants and bees of PyTorch's tutorial.`,
    );
  } else if (!backbone.pretrained) {
    options.onNotice?.(
      `The features are UNTRAINED (${backbone.name}): ` +
        asCalled('`npm run fetch-model` gets the ImageNet ones.'),
    );
  }
  return backbone;
}

/**
 * An untrained ResNet-18, what features of any training are to be compared with. It is made on the spot and written to
 * the models folder.
 * @throws {LastlayerError} where it cannot be written
 */
export async function untrainedBackbone(
  options: SessionOptions & Pick<BackboneOptions, 'modelsDir'> = {},
): Promise<Backbone> {
  const path = join(folderOf(options), `${UNTRAINED}.onnx`);
  if (await fileExists(path)) return backboneOf(path, options);
  const model = { ...toModel(untrainedModel(), path, false), width: UNTRAINED_WIDTH };
  await writeModel(path, model, { source: 'drawn from a fixed seed', licence: 'MIT' });
  return new Backbone(model, path, options);
}

function folderOf({ modelsDir = 'models' }: Pick<BackboneOptions, 'modelsDir'>): string {
  return resolve(modelsDir);
}

async function modelPath({ model, modelId, modelsDir }: BackboneOptions): Promise<string> {
  if (model !== undefined) return resolve(model);
  const folder = folderOf(modelsDir === undefined ? {} : { modelsDir });
  const wanted =
    modelId === undefined ? undefined : await findModel([folder, dirname(BUNDLED_PATH)], modelId);
  if (wanted !== undefined) return wanted;
  const fetched = join(folder, 'resnet18.onnx');
  return (await fileExists(fetched)) ? fetched : BUNDLED_PATH;
}

/** The model of these folders whose card has this id. */
async function findModel(folders: readonly string[], id: string): Promise<string | undefined> {
  for (const folder of folders) {
    const files = await readdir(folder).catch(() => []);
    for (const file of files.filter((name) => name.endsWith('.onnx'))) {
      const card = await readCard(join(folder, file));
      if (card?.id === id) return join(folder, file);
    }
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
