import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { hasRedis, RedisServer } from '../../../scripts/queue/redis-server.js';
import { RedisLock } from '../../../src/embed/queue/lock.js';
import { temporaryFolder } from '../../support/files.js';

const folder = await temporaryFolder();
const describeWithRedis = hasRedis() ? describe : describe.skip;

describeWithRedis('a lock in Redis (redis-server)', () => {
  let server: RedisServer;
  let redis: Redis;
  beforeAll(async () => {
    server = await RedisServer.start(folder);
    redis = new Redis(server.url);
  });
  beforeEach(() => redis.flushall());
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  const lock = (expiresMs = 10_000) => new RedisLock(redis, 'key', expiresMs);
  const atOnce = { pollMs: 10, timeoutMs: 0 };

  it('has one holder at a time', async () => {
    const [first, second] = [lock(), lock()];
    expect(await first.acquire(atOnce)).toBe(true);
    expect(await second.acquire(atOnce)).toBe(false);
    const waiting = second.acquire({ pollMs: 10 });
    expect(await first.release()).toBe(true);
    expect(await waiting).toBe(true);
  });

  it('expires, unless it is extended', async () => {
    const first = lock(200);
    await first.acquire(atOnce);
    for (let i = 0; i < 4; i++) {
      await delay(100);
      expect(await first.extend()).toBe(true);
    }
    expect(await lock().acquire(atOnce)).toBe(false);
    expect(await lock().acquire({ pollMs: 10, timeoutMs: 2_000 })).toBe(true);
  });

  it('is neither released nor extended by a holder that it has expired for, once it is somebody else’s', async () => {
    const [first, second] = [lock(20), lock()];
    await first.acquire(atOnce);
    expect(await second.acquire({ pollMs: 10, timeoutMs: 2_000 })).toBe(true);
    expect(await first.release()).toBe(false);
    expect(await first.extend()).toBe(false);
    expect(await lock().acquire(atOnce)).toBe(false);
    expect(await second.release()).toBe(true);
  });
});
