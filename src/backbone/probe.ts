import { LastlayerError } from '../errors.js';
import { Backbone } from './backbone.js';
import type { Model } from './model.js';
import type { SessionOptions } from './session.js';

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
  const differs = alone.some((value, i) => Math.abs(value - (together[i] ?? 0)) > 1e-3 * largest);
  if (differs) {
    throw new LastlayerError(
      `${path} gives a picture another embedding beside a second one than alone. Was it exported in training mode? ` +
        `Call model.eval() before the export.`,
    );
  }
}
