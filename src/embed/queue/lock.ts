import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { LastlayerError } from '../../util/errors.js';
import { commitKey, producerKey, queueName, type Run } from './job.js';

/** A producer that gave no sign of life for so long is taken for dead. */
const EXPIRES_MS = 10_000;

/**
 * Does something as the only producer of a run.
 * @throws {LastlayerError} where there is another one
 */
export async function asOnlyProducer<T>(redis: Redis, run: Run, work: () => Promise<T>): Promise<T> {
  const key = producerKey(queueName(run));
  const own = randomUUID();
  const take = () => redis.set(key, own, 'PX', EXPIRES_MS, 'NX');
  // One that was killed holds it until it expires.
  const deadline = Date.now() + 1.2 * EXPIRES_MS;
  while ((await take()) === null) {
    if (Date.now() > deadline) {
      throw new LastlayerError(
        `${run.dataset} is being embedded into ${run.store} with ${run.modelId} by another process already. Let it finish, or ` +
          `stop it and run this again.`,
      );
    }
    await delay(500);
  }
  const renewal = setInterval(
    () => void redis.set(key, own, 'PX', EXPIRES_MS).catch(() => undefined),
    EXPIRES_MS / 4,
  );
  try {
    return await work();
  } finally {
    clearInterval(renewal);
    if ((await redis.get(key)) === own) await redis.del(key);
  }
}

/** A writer that was lost holds up the others for so long. */
const COMMIT_EXPIRES_MS = 10_000;
const POLL_MS = 25;

/**
 * Has workers commit one after another. Nothing depends on it, as Lance refuses what conflicts; but a commit that is refused has
 * to be made anew from the beginning, so that those who meet are slower together than one alone (measured at a million rows:
 * 2.8 commits a second by one writer, 0.6 by four).
 * @throws what the commit throws
 */
export async function inTurn(redis: Redis, queue: string, commit: () => Promise<void>): Promise<void> {
  const key = commitKey(queue);
  const own = randomUUID();
  while ((await redis.set(key, own, 'PX', COMMIT_EXPIRES_MS, 'NX')) === null) {
    await delay(POLL_MS * (0.5 + Math.random()));
  }
  try {
    await commit();
  } finally {
    if ((await redis.get(key)) === own) await redis.del(key);
  }
}
