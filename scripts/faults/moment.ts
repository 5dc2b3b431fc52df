import type { Random } from '../examples/random.js';
import type { Moment, Run } from './command.js';

/**
 * A moment of a run like the given one: any time up to its end, or any change of its files; rather an early one, since a run that
 * goes on from an earlier one has less to do.
 */
export function momentIn({ took, changes }: Pick<Run, 'took' | 'changes'>, random: Random): Moment {
  const part = random.between(0, 1) ** 2;
  return random.chance(0.3)
    ? { afterMs: Math.round(took * (0.3 + 0.7 * part)) }
    : { afterChanges: 1 + Math.floor(changes * part) };
}
