import type { Backbone } from '../backbone/index.js';
import type { Prediction } from '../head/index.js';
import { pixelsOf, type ImageSource } from './classifier.js';

/**
 * What the network's own last layer makes of a picture, before any head: for torchvision's ResNet-18, the 1000 classes
 * of ImageNet.
 * @param options.labels names of its classes, in order; by default their numbers
 * @param options.topK how many classes; default 5
 * @returns the most probable classes, best first
 * @throws {LastlayerError} where the picture cannot be read, or the network has no last layer
 */
export async function predictOwnClasses(
  backbone: Backbone,
  image: ImageSource,
  { labels, topK = 5 }: { labels?: readonly string[]; topK?: number } = {},
): Promise<Prediction[]> {
  const { logits = new Float32Array() } = await backbone.run(await pixelsOf(backbone, [image]), {
    logits: true,
  });
  const largest = logits.reduce((max, logit) => Math.max(max, logit), -Infinity);
  const exponentials = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  return exponentials
    .map((value, i) => ({ label: labels?.[i] ?? String(i), probability: value / sum }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, topK);
}
