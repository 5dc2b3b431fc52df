import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { Moment, Run } from './command.js';

/** Numbers from 0 to below 1, the same for the same seed. */
export type Random = () => number;

export function randomOf(seed: number): Random {
  const generator = xoroshiro128plus(seed);
  return () => uniformFloat64(generator);
}

/**
 * A moment of a run like the given one: any time up to its end, or any change of its files; rather an early one, since a run that
 * goes on from an earlier one has less to do.
 */
export function momentIn({ took, changes }: Pick<Run, 'took' | 'changes'>, random: Random): Moment {
  const part = random() ** 2;
  return random() < 0.3
    ? { afterMs: Math.round(took * (0.3 + 0.7 * part)) }
    : { afterChanges: 1 + Math.floor(changes * part) };
}
