import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';

// As scripts, both are atomic: nobody else can take the lock between the check and the change.
const RELEASE = `
  if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end
  return 0`;
const EXTEND = `
  local holder = redis.call('get', KEYS[1])
  if holder and holder ~= ARGV[1] then return 0 end
  redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
  return 1`;

/**
 * A lock in Redis, which has one holder at a time. It expires unless it is extended, so that a holder that was killed does not keep
 * it.
 */
export class RedisLock {
  private readonly token = randomUUID();

  constructor(
    private readonly redis: Redis,
    private readonly key: string,
    private readonly expiresMs: number,
  ) {}

  /**
   * Waits for the lock.
   * @param options.pollMs milliseconds between two tries, on average
   * @param options.timeoutMs @default no limit
   * @returns false if somebody else had it for too long
   */
  async acquire({ pollMs, timeoutMs = Infinity }: { pollMs: number; timeoutMs?: number }): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    while ((await this.redis.set(this.key, this.token, 'PX', this.expiresMs, 'NX')) === null) {
      if (Date.now() > deadline) return false;
      await delay(pollMs * (0.5 + Math.random()));
    }
    return true;
  }

  /** Puts the expiry off. @returns false if somebody else holds the lock by now */
  async extend(): Promise<boolean> {
    return (await this.redis.eval(EXTEND, 1, this.key, this.token, this.expiresMs)) === 1;
  }

  /** Gives the lock back. @returns false if it has expired; it may be somebody else's by now */
  async release(): Promise<boolean> {
    return (await this.redis.eval(RELEASE, 1, this.key, this.token)) === 1;
  }
}
