import { encodeSafetensors } from '../formats/safetensors.js';
import type { Head } from '../head/head.js';
import { ownVersion } from '../util/version.js';
import { writeExport } from './write-export.js';

/**
 * Writes a head as a layer of PyTorch: `fc.weight` [N, D] and `fc.bias` [N] in float32, which
 * `torchvision.models.resnet18(num_classes=N).load_state_dict` takes beside the backbone's own tensors. The file's metadata hold
 * the labels, in the order of the rows.
 * @throws {LastlayerError} if the file cannot be written
 */
export async function exportSafetensors(
  head: Head,
  path: string,
  {
    calibrated = false,
  }: {
    /**
     * Divide weights and bias by the head's temperature, so that softmax (sigmoid for several labels a picture) of the layer's
     * output gives the probabilities of `predict`. Otherwise they are as trained, and the temperature is in the metadata.
     * @default false
     */
    calibrated?: boolean | undefined;
  } = {},
): Promise<{ path: string; calibrated: boolean; classes: number; width: number }> {
  const { labels, width, kind, thresholds, modelId, transformId, created } = head;
  const divisor = calibrated ? head.temperature : 1;
  const divided = (values: Iterable<number>) => Float32Array.from(values, (value) => value / divisor);
  const tensors = new Map([
    ['fc.weight', { shape: [labels.length, width], data: divided(head.weights.to1DArray()) }],
    ['fc.bias', { shape: [labels.length], data: divided(head.bias) }],
  ]);
  const metadata = {
    labels: JSON.stringify(labels),
    kind,
    thresholds: JSON.stringify(thresholds),
    // The divisor that the layer's output still needs.
    temperature: JSON.stringify(head.temperature / divisor),
    modelId,
    transformId,
    created,
    lastlayer: await ownVersion(),
  };
  await writeExport({ path, content: encodeSafetensors(tensors, metadata) });
  return { path, calibrated, classes: labels.length, width };
}
