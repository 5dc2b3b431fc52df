import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { LastlayerError } from '../errors.js';
import { producerKey, queueName, type Run } from './run.js';

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
