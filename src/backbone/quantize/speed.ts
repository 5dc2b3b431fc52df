import type { Backbone } from '../backbone.js';

export interface SpeedOptions {
  /** Pictures that go through a network together. Default: 8, for short runs, of which some will be undisturbed. */
  batchSize?: number;
  /** Runs of each network. Default: 8. */
  rounds?: number;
  signal?: AbortSignal;
}

/**
 * How many times as fast one network is as another, on made-up pictures: the two take turns, and the best time of each
 * counts, which is the one that other programs disturbed the least.
 * @throws {LastlayerError} where one does not run
 * @throws the signal's reason, once it aborts
 */
export async function speedRatio(
  fast: Backbone,
  slow: Backbone,
  { batchSize = 8, rounds = 8, signal }: SpeedOptions = {},
): Promise<number> {
  const { crop } = fast.transform;
  const pixels = Uint8Array.from(
    { length: batchSize * 3 * crop * crop },
    (_, i) => 128 + 100 * Math.sin(0.37 * i),
  );
  const timed = async (backbone: Backbone) => {
    signal?.throwIfAborted();
    const started = performance.now();
    await backbone.run(pixels);
    return performance.now() - started;
  };
  // Not counted: the first run loads the graph.
  await timed(slow);
  await timed(fast);
  let [bestSlow, bestFast] = [Infinity, Infinity];
  for (let round = 0; round < rounds; round++) {
    bestSlow = Math.min(bestSlow, await timed(slow));
    bestFast = Math.min(bestFast, await timed(fast));
  }
  return bestSlow / bestFast;
}
