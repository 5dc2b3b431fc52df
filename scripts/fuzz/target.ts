import type { Random } from '../support/random.js';

/** A reader, and mutants for it. */
export interface Target {
  /** A mutant; the same random choices give the same one. */
  mutant: (random: Random) => Buffer;
  /**
   * Reads a mutant as lastlayer does.
   * @throws {LastlayerError} if it is refused, which is as good as reading it; any other error is a fault
   */
  attempt: (bytes: Buffer) => Promise<void>;
}

/** @throws {Error} unless what was read of a mutant makes sense */
export function sane(condition: boolean, found: string): void {
  if (!condition) throw new Error(`was read, but as ${found}`);
}
