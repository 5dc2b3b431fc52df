import type { Random } from '../examples/random.js';

/** What is fuzzed. */
export interface Target {
  /** A mutant; the same choices give the same one. */
  mutant: (random: Random) => Buffer;
  /**
   * Reads a mutant as the product does.
   * @throws {LastlayerError} where it is refused, which is as good as to read it; anything else that is thrown is a fault
   */
  attempt: (bytes: Buffer) => Promise<void>;
}

/** @throws {Error} where what was read of a mutant makes no sense */
export function sane(condition: boolean, found: string): void {
  if (!condition) throw new Error(`was read, but as ${found}`);
}
