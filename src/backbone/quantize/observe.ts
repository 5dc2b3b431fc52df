import * as ort from 'onnxruntime-node';
import { LastlayerError, messageOf } from '../../errors.js';
import { decodeModel, encodeModel, expose, takePixels } from '../../onnx/index.js';
import type { Backbone } from '../backbone.js';
import { createSession } from '../session.js';
import { Histogram } from './histogram.js';

/** What was seen of one activation. */
export interface Activation {
  histogram: Histogram;
  /** The mean of each channel over pictures and positions; [C]. */
  channelMeans: Float64Array;
}

/**
 * Runs a network over pictures and keeps statistics of its activations; the activations themselves are held for one
 * batch only.
 * @param names the activations to look at: results of operators, or the network's input
 * @param batches pictures as RGB bytes, each [N, crop, crop, 3]
 * @returns the statistics by name, of those that are float32
 * @throws {LastlayerError} where the network does not run, or gives values that are not finite
 * @throws what the batches throw
 */
export async function observe(
  { onnx, source, transform }: Backbone,
  names: readonly string[],
  batches: AsyncIterable<Uint8Array>,
): Promise<Map<string, Activation>> {
  // Behind its normalisation, the network's own input is a result like the others.
  const model = takePixels(decodeModel(onnx, source), source, transform);
  const session = await createSession(encodeModel(expose(model, source, names)), source, {});
  const observers = new Map(names.map((name) => [name, new Observer()]));
  try {
    for await (const pixels of batches) {
      const { crop } = transform;
      const input = new ort.Tensor('uint8', pixels, [pixels.length / (3 * crop * crop), crop, crop, 3]);
      const activations = await session.run({ pixels: input }, [...names]).catch((error: unknown) => {
        throw new LastlayerError(`${source} failed on pictures to calibrate with: ${messageOf(error)}.`);
      });
      for (const [name, observer] of observers) observer.add(activations[name]);
    }
  } finally {
    await session.release();
  }
  const seen = [...observers].filter(([, { count }]) => count > 0);
  return new Map(seen.map(([name, observer]) => [name, observer.result]));
}

class Observer {
  private readonly histogram = new Histogram();
  private sums = new Float64Array();
  /** Values of each channel so far. */
  count = 0;

  add(activation: ort.Tensor | undefined): void {
    if (!(activation?.data instanceof Float32Array)) return;
    const { data, dims } = activation;
    const [rows = 1, channels = 1] = dims;
    this.histogram.add(data);
    if (this.sums.length === 0) this.sums = new Float64Array(channels);
    const plane = data.length / rows / channels;
    for (let p = 0; p < rows * channels; p++) {
      let sum = 0;
      for (let i = p * plane; i < (p + 1) * plane; i++) sum += data[i] ?? 0;
      this.sums[p % channels] = (this.sums[p % channels] ?? 0) + sum;
    }
    this.count += rows * plane;
  }

  get result(): Activation {
    return { histogram: this.histogram, channelMeans: this.sums.map((sum) => sum / this.count) };
  }
}
