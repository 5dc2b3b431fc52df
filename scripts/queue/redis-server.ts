import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort } from '../support/free-port.js';

export const INSTALL_REDIS = 'Install it, e.g. with apt-get install redis-server.';

/** Whether redis-server is installed. */
export function hasRedis(): boolean {
  return spawnSync('redis-server', ['--version']).status === 0;
}

/** A separate Redis on a free port, with its append-only file on. */
export class RedisServer {
  private constructor(
    private readonly folder: string,
    private readonly port: number,
    private child: ChildProcess,
  ) {}

  /** @param folder for its files */
  static async start(folder: string): Promise<RedisServer> {
    const port = await freePort();
    const server = new RedisServer(folder, port, launch(folder, port));
    await server.untilReady();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Kills it, and starts it again on the same files after a while. */
  async crash(downMs: number): Promise<void> {
    await this.end('SIGKILL');
    await delay(downMs);
    this.child = launch(this.folder, this.port);
    await this.untilReady();
  }

  async stop(): Promise<void> {
    await this.end('SIGTERM');
  }

  /** Bytes of memory that its data take. */
  async memory(): Promise<number> {
    return this.ask(async (redis) => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]));
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, 'close');
    this.child.kill(signal);
    await ended;
  }

  private async untilReady(): Promise<void> {
    for (let tries = 0; tries < 100; tries++) {
      const answer = await this.ask((redis) => redis.ping()).catch(() => undefined);
      if (answer === 'PONG') return;
      await delay(100);
    }
    throw new Error('redis-server does not answer.');
  }

  private async ask<T>(question: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = new Redis(this.port, '127.0.0.1', { lazyConnect: true, retryStrategy: () => null });
    redis.on('error', () => undefined);
    try {
      await redis.connect();
      return await question(redis);
    } finally {
      redis.disconnect();
    }
  }
}

function launch(folder: string, port: number): ChildProcess {
  const options = { port, bind: '127.0.0.1', dir: folder, appendonly: 'yes', save: '', loglevel: 'warning' };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return spawn('redis-server', args, { stdio: 'ignore' });
}
