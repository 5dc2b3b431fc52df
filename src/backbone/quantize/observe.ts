import * as ort from 'onnxruntime-node';
import { LastlayerError, messageOf } from '../../errors.js';
import { decodeModel, encodeModel, expose, graphOf, pictureInput } from '../../onnx/index.js';
import { createSession, type Backbone } from '../backbone.js';
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
 * @param batches normalised pictures, each [N, 3, crop, crop]
 * @returns the statistics by name, of those that are float32
 * @throws {LastlayerError} where the network does not run, or gives values that are not finite
 * @throws what the batches throw
 */
export async function observe(
  { onnx, source, transform: { crop } }: Backbone,
  names: readonly string[],
  batches: AsyncIterable<Float32Array>,
): Promise<Map<string, Activation>> {
  const model = decodeModel(onnx, source);
  const input = pictureInput(graphOf(model, source), source).name;
  const inner = names.filter((name) => name !== input);
  const session = await createSession(encodeModel(expose(model, source, inner)), source, {});
  const observers = new Map(names.map((name) => [name, new Observer()]));
  try {
    for await (const pixels of batches) {
      const picture = new ort.Tensor('float32', pixels, [pixels.length / (3 * crop * crop), 3, crop, crop]);
      const results = await session.run({ [input]: picture }, inner).catch((error: unknown) => {
        throw new LastlayerError(`${source} failed on pictures to calibrate with: ${messageOf(error)}.`);
      });
      const activations = { ...results, [input]: picture };
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
