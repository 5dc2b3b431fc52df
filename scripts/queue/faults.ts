import { setTimeout as delay } from 'node:timers/promises';
import { Random } from '../support/random.js';
import type { RedisServer } from './redis-server.js';
import { WorkerProcess } from './worker-process.js';

/** Attempts to start a worker while Redis is down. */
const MOST_STARTS = 20;

export type Fault = 'kill' | 'pause' | 'crash';

/** Workers, some of which are killed or paused, and a Redis that crashes. */
export class FaultyCluster {
  readonly counts: Record<Fault, number> = { kill: 0, pause: 0, crash: 0 };
  private readonly random: Random;
  private workers: WorkerProcess[] = [];
  /** Crashes of Redis, one after another. */
  private crashing = Promise.resolve();

  /** @param stallMs time after which the job of a silent worker goes to another one */
  constructor(
    private readonly redis: RedisServer,
    private readonly flags: readonly string[],
    private readonly stallMs: number,
    seed: number,
  ) {
    this.random = new Random(seed);
  }

  async start(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.add()));
  }

  /** Causes a fault, and repairs it. */
  async suffer(fault: Fault): Promise<void> {
    this.counts[fault]++;
    if (fault === 'crash') return (this.crashing = this.crashing.then(() => this.redis.crash(500)));
    const worker = this.workers[this.random.whole(0, this.workers.length - 1)];
    if (!worker) return;
    if (fault === 'kill') {
      await worker.end('SIGKILL');
      this.workers = this.workers.filter((other) => other !== worker);
      await this.add();
    } else {
      worker.signal('SIGSTOP');
      // Long enough for others to notice and to take over its jobs.
      await delay(3 * this.stallMs);
      worker.signal('SIGCONT');
    }
  }

  /** Causes random faults until the signal aborts. They overlap: while a worker is paused, others are killed. */
  async sufferAtRandom(fromMs: number, toMs: number, signal: AbortSignal): Promise<void> {
    const faults: Promise<void>[] = [];
    for (;;) {
      await delay(this.random.between(fromMs, toMs), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) break;
      faults.push(this.suffer(this.random.pick(['kill', 'kill', 'kill', 'pause', 'crash'])));
    }
    await Promise.all(faults);
  }

  /** Stops all workers after their jobs, and returns their exit codes. */
  async stop(): Promise<(number | null)[]> {
    const workers = this.workers;
    this.workers = [];
    return Promise.all(workers.map((worker) => worker.end('SIGTERM')));
  }

  /** Starts a worker. If it ends because Redis is down, starts it again, as a supervisor would. */
  private async add(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        const worker = await WorkerProcess.start(this.redis.url, this.flags);
        this.workers.push(worker);
        return;
      } catch (error) {
        if (tries === MOST_STARTS) throw error;
        await delay(500);
      }
    }
  }
}
