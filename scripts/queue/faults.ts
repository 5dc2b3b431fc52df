import { setTimeout as delay } from 'node:timers/promises';
import { Random } from '../examples/random.js';
import type { RedisServer } from './redis-server.js';
import { WorkerProcess } from './worker-process.js';

/** How often a worker is started that does not find Redis. */
const MOST_STARTS = 20;

/** What can go wrong. */
export type Fault = 'kill' | 'pause' | 'crash';

/** Workers of which some are killed or paused, and a Redis that crashes. */
export class FaultyCluster {
  readonly counts: Record<Fault, number> = { kill: 0, pause: 0, crash: 0 };
  private readonly random: Random;
  private workers: WorkerProcess[] = [];
  /** One crash after another. */
  private crashing = Promise.resolve();

  /** @param stallMs after which a job of a worker that gives no sign of life goes to another */
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

  /** Has something go wrong, and mends it. */
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
      // Long enough for others to notice and to do its jobs.
      await delay(3 * this.stallMs);
      worker.signal('SIGCONT');
    }
  }

  /** Has one thing after another go wrong until the signal aborts; while a worker is paused, others are killed. */
  async sufferAtRandom(fromMs: number, toMs: number, signal: AbortSignal): Promise<void> {
    const faults: Promise<void>[] = [];
    for (;;) {
      await delay(this.random.between(fromMs, toMs), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) break;
      faults.push(this.suffer(this.random.pick(['kill', 'kill', 'kill', 'pause', 'crash'])));
    }
    await Promise.all(faults);
  }

  /** Drains all workers; their exit codes. */
  async stop(): Promise<(number | null)[]> {
    const workers = this.workers;
    this.workers = [];
    return Promise.all(workers.map((worker) => worker.end('SIGTERM')));
  }

  /** Starts a worker; one that finds Redis down ends, and is started again, as a supervisor does. */
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
