import { asCalled, LastlayerError, withCode } from '../util/errors.js';
import { Backbone } from './backbone.js';
import { readCard } from './model-card.js';
import { type Model, readModel } from './model.js';
import { BUNDLED, BUNDLED_PATH, defaultModel, modelFile } from './models.js';
import type { SessionOptions } from './session.js';

/**
 * Validation accuracy, in percent, of a head on the ants and bees of PyTorch's transfer learning tutorial: with the bundled
 * features, see the model card, and with ImageNet's, as the tutorial reports (0.948 to 0.954, best of 25 epochs).
 */
export const ANTS_AND_BEES = { bundled: 88.2, imageNet: 95 };

export interface BackboneOptions extends SessionOptions {
  /**
   * A model file (.onnx, or a ResNet's checkpoint: .pth, .safetensors), or the name or id of a model in the folders of models.
   * @default the one named `resnet18`, else the bundled one
   */
  model?: string | undefined;
  /** Folder of models to look in, in place of `models` in the working directory and the platform's cache folder. */
  modelsDir?: string | undefined;
  /** What needs `model`, such as the file of a head: named in the error if the model is missing. */
  neededBy?: string | undefined;
  /**
   * Receives a line for the user if the features are the bundled ones, or untrained, or where the weights had to be looked for in
   * a checkpoint.
   */
  onNotice?: ((line: string) => void) | undefined;
}

/**
 * Loads a backbone.
 * @throws {LastlayerError} if the model is missing, unreadable or unusable
 */
export async function loadBackbone(options: BackboneOptions = {}): Promise<Backbone> {
  return withCode('MODEL_UNUSABLE', () => load(options));
}

async function load(options: BackboneOptions): Promise<Backbone> {
  const { model, modelsDir } = options;
  const path = model === undefined ? await defaultModel(modelsDir) : await modelFile(model, options);
  const backbone = await backboneOf(path, options);
  if (path === BUNDLED_PATH) {
    options.onNotice?.(
      `The features are the bundled ones (${BUNDLED}), learnt from a teacher on generated pictures. ` +
        asCalled('`npm run fetch-model` gets the ImageNet ones. With those, ') +
        `PyTorch's tutorial reports ${ANTS_AND_BEES.imageNet} % on its ants and bees; the bundled ones reach ` +
        `${Math.round(ANTS_AND_BEES.bundled)} %.`,
    );
  } else if (!backbone.pretrained) {
    options.onNotice?.(
      `The features are UNTRAINED (${backbone.name}): ` + asCalled('`npm run fetch-model` gets the ImageNet ones.'),
    );
  }
  return backbone;
}

async function backboneOf(path: string, { onNotice, ...options }: BackboneOptions): Promise<Backbone> {
  const model = await readModel(path, { onNotice });
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
 * Runs a model on two made-up pictures, alone and together.
 * @returns the width of the embedding, and the number of logits if there are any
 * @throws {LastlayerError} if it does not run, its values are not finite, or the embedding of a picture depends on what
 *   else is in the batch, as in a model exported in training mode
 */
export async function probeModel(
  model: Model,
  path: string,
  options: SessionOptions = {},
): Promise<{ width: number; classes: number | undefined }> {
  const backbone = new Backbone({ ...model, width: model.width ?? 0 }, path, options);
  try {
    const length = 3 * model.transform.crop ** 2;
    const both = Float32Array.from({ length: 2 * length }, (_, i) => Math.sin(i * (i < length ? 0.01 : 0.37)));
    const { embedding, logits } = await backbone.run(both, { logits: model.hasLogits });
    const alone = (await backbone.run(both.subarray(0, length))).embedding;
    const width = embedding.length / 2;
    if (alone.length !== width) {
      throw new LastlayerError(
        `${path} gives ${alone.length} values for one picture and ${embedding.length} for two, so it does not work on ` +
          `batches. Export it with a dynamic batch axis.`,
      );
    }
    checkEmbeddings(alone, embedding, path);
    if (logits?.every(Number.isFinite) === false) {
      throw new LastlayerError(`${path} gives logits that are not finite numbers: its last layer is damaged.`);
    }
    return { width, classes: logits ? logits.length / 2 : undefined };
  } finally {
    await backbone.release();
  }
}

function checkEmbeddings(alone: Float32Array, together: Float32Array, path: string): void {
  if (!together.every(Number.isFinite)) {
    throw new LastlayerError(`${path} gives embeddings that are not finite numbers: its weights are damaged.`);
  }
  const largest = alone.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  if (alone.some((value, i) => Math.abs(value - together[i]!) > 1e-3 * largest)) {
    throw new LastlayerError(
      `${path} gives the same picture a different embedding in a batch of two. Was it exported in training mode? ` +
        `Call model.eval() before the export.`,
    );
  }
}
