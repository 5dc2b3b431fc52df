import { readdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ModelProto } from 'onnx-buf';
import { uniformFloat32 } from 'pure-rand/distribution/uniformFloat32';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { asCalled, LastlayerError } from '../util/errors.js';
import { fileExists } from '../util/files.js';
import { Backbone } from './backbone.js';
import type { Checkpoint } from './checkpoint/read.js';
import { readCard, writeModel } from './model-card.js';
import { type Model, readModel, toModel } from './model.js';
import { convolutionsOf, resNet, type ResNetArchitecture, resNetGraph } from './resnet.js';
import type { SessionOptions } from './session.js';

export interface BackboneOptions extends SessionOptions {
  /** A model file: .onnx, or a ResNet's checkpoint (.pth, .safetensors). */
  model?: string | undefined;
  /** Folder of the models that were fetched. Default: `models` in the working directory. */
  modelsDir?: string | undefined;
  /** Where no model is given: prefer the one of this id, if the models folder has it. */
  modelId?: string | undefined;
  /** Told what the user should know: that the features are the bundled ones, or untrained. */
  onNotice?: ((line: string) => void) | undefined;
}

/**
 * Loads the backbone: the given model, else the wanted one, else `resnet18.onnx` of the models folder, else the bundled one.
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

/**
 * Tries a network on two made-up pictures, one by one and together, and reads the width of its embedding off the result.
 * @returns the width of the embedding, and of the logits where there are any
 * @throws {LastlayerError} where it does not run, gives values that are not finite, or gives a picture another embedding
 *   in company than alone, as a network exported in training mode does
 */
export async function probeModel(
  model: Model,
  path: string,
  options: SessionOptions = {},
): Promise<{ width: number; classes: number | undefined }> {
  const backbone = new Backbone({ ...model, width: model.width ?? 0 }, path, options);
  try {
    const length = 3 * model.transform.crop ** 2;
    const both = Float32Array.from({ length: 2 * length }, (_, i) =>
      Math.sin(i * (i < length ? 0.01 : 0.37)),
    );
    const { embedding, logits } = await backbone.run(both, { logits: model.hasLogits });
    const alone = (await backbone.run(both.subarray(0, length))).embedding;
    const width = embedding.length / 2;
    if (alone.length !== width) {
      throw new LastlayerError(
        `${path} gives ${alone.length} values for one picture and ${embedding.length} for two; its graph does not work ` +
          `on batches. Export it with a dynamic batch axis.`,
      );
    }
    refuseBadValues(alone, embedding, path);
    if (logits?.every(Number.isFinite) === false) {
      throw new LastlayerError(
        `${path} gives logits that are not finite numbers: its last layer is damaged.`,
      );
    }
    return { width, classes: logits ? logits.length / 2 : undefined };
  } finally {
    await backbone.release();
  }
}

function refuseBadValues(alone: Float32Array, together: Float32Array, path: string): void {
  if (!together.every(Number.isFinite)) {
    throw new LastlayerError(
      `${path} gives embeddings that are not finite numbers: its weights are damaged.`,
    );
  }
  const largest = alone.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const differs = alone.some((value, i) => Math.abs(value - together[i]!) > 1e-3 * largest);
  if (differs) {
    throw new LastlayerError(
      `${path} gives a picture another embedding beside a second one than alone. Was it exported in training mode? ` +
        `Call model.eval() before the export.`,
    );
  }
}

/** Name of the backbone that ships with the project, pretrained on generated pictures; see models/README.md. */
export const BUNDLED = 'resnet18-bundled.int8';

/** Where it lies: in the package, whatever the working directory is. */
export const BUNDLED_PATH = fileURLToPath(new URL(`../../models/${BUNDLED}.onnx`, import.meta.url));

/**
 * Validation accuracy, in percent, of a head on the ants and bees of PyTorch's transfer learning tutorial: with the bundled
 * features, see the model card, and with ImageNet's, as the tutorial reports (0.948 to 0.954, best of 25 epochs).
 */
export const ANTS_AND_BEES = { bundled: 78.4, imageNet: 95 };

/** Name of the backbone that is always there; a model of this name has features that were never trained. */
export const UNTRAINED = 'resnet18-untrained';

/** Width of its embedding. */
const UNTRAINED_WIDTH = 512;

const SEED = 18;

/** The graph of an untrained ResNet-18, made in a second; the same on every machine. */
function untrainedModel(): ModelProto {
  return resNetGraph(
    untrainedCheckpoint(resNet({ block: 'basic', blocks: [2, 2, 2, 2] })),
    UNTRAINED,
    UNTRAINED,
  );
}

/**
 * A ResNet as it is before any training: convolutions drawn from He's uniform distribution,
 * ±√(6 / fan out) (He et al. 2015, "Delving deep into rectifiers"; torchvision too takes the fan out), BatchNorm the
 * identity, no fc. Drawn from a fixed seed with nothing but correctly rounded arithmetic.
 */
export function untrainedCheckpoint(architecture: ResNetArchitecture): Checkpoint {
  const random = xoroshiro128plus(SEED);
  const checkpoint: Checkpoint = new Map();
  for (const { name, norm, shape } of convolutionsOf(architecture)) {
    const [channels, inputs, kernel] = shape;
    const bound = Math.sqrt(6 / (channels * kernel * kernel));
    const data = new Float32Array(channels * inputs * kernel * kernel);
    for (let i = 0; i < data.length; i++) data[i] = (2 * uniformFloat32(random) - 1) * bound;
    checkpoint.set(`${name}.weight`, { shape, data });

    const constant = (value: number) => ({ shape: [channels], data: new Float32Array(channels).fill(value) });
    checkpoint.set(`${norm}.weight`, constant(1));
    checkpoint.set(`${norm}.bias`, constant(0));
    checkpoint.set(`${norm}.running_mean`, constant(0));
    checkpoint.set(`${norm}.running_var`, constant(1));
  }
  return checkpoint;
}
