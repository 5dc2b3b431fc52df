import { Redis } from 'ioredis';
import { LastlayerError, messageOf, UsageError } from '../../util/errors.js';

/** Waits between two tries to reconnect. */
const RETRY_MS = { first: 200, longest: 2_000 };

/**
 * Connects to Redis. If the connection breaks later, it is tried again without end, and commands wait.
 * @param url redis://[user:password@]host[:port][/database], or rediss:// with TLS
 * @param onNotice told when the connection breaks, and when it is back
 * @throws {UsageError} if it is not such an address
 * @throws {LastlayerError} if there is no Redis at it
 */
export async function connectRedis(url: string, onNotice?: (line: string) => void): Promise<Redis> {
  if (!/^rediss?:\/\/./.test(url)) {
    throw new UsageError(`--queue is ${url}. It must be an address such as redis://127.0.0.1:6379.`);
  }
  let wasReached = false;
  let reason: unknown;
  const redis = new Redis(url, {
    lazyConnect: true,
    // BullMQ needs both of a connection that outlives a restart of Redis.
    maxRetriesPerRequest: null,
    enableReadyCheck: true,
    retryStrategy: (tries) => (wasReached ? Math.min(tries * RETRY_MS.first, RETRY_MS.longest) : null),
  });
  redis.on('error', (error) => (reason = error));
  try {
    await redis.connect();
  } catch (error) {
    redis.disconnect();
    throw new LastlayerError(
      `There is no Redis at ${withoutPassword(url)}: ${messageOf(reason ?? error)}. Start one, best with its append-only ` +
        'file on (`redis-server --appendonly yes`), or correct --queue.',
    );
  }
  wasReached = true;
  let isBroken = false;
  redis.on('close', () => {
    if (isBroken || redis.status === 'end') return;
    isBroken = true;
    onNotice?.(`The connection to Redis at ${withoutPassword(url)} broke; trying again until it is back.`);
  });
  redis.on('ready', () => {
    if (isBroken) onNotice?.(`Redis at ${withoutPassword(url)} is back.`);
    isBroken = false;
  });
  return redis;
}

/** The address as it may be shown. */
export function withoutPassword(url: string): string {
  return url.replace(/\/\/[^/@]*@/, '//…@');
}
