import { createHash } from 'node:crypto';
import { Random } from '../support/random.js';
import { headTarget } from './heads.js';
import { onnxTarget, pickleTarget, safetensorsTarget, zipTarget } from './networks.js';
import { pictureTarget } from './pictures.js';
import type { Target } from './target.js';

export const TARGETS: Record<string, () => Promise<Target>> = {
  pictures: pictureTarget,
  pickle: pickleTarget,
  zip: zipTarget,
  safetensors: safetensorsTarget,
  onnx: onnxTarget,
  head: headTarget,
};

/** The random choices of a mutant: the same for the same seed, target and number. */
export function randomOf(seed: number, target: string, index: number): Random {
  return new Random(createHash('sha256').update(`${seed} ${target} ${index}`).digest().readInt32LE());
}
