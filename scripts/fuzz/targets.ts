import { createHash } from 'node:crypto';
import { Random } from '../examples/random.js';
import { pictureTarget } from './pictures.js';
import type { Target } from './target.js';

export const TARGETS: Record<string, () => Promise<Target>> = {
  pictures: pictureTarget,
};

/** What a mutant's choices are drawn from: the same for the same seed, target and number. */
export function randomOf(seed: number, target: string, index: number): Random {
  return new Random(createHash('sha256').update(`${seed} ${target} ${index}`).digest().readInt32LE());
}
