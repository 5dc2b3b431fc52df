import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker, type Job } from 'bullmq';
import type { Redis } from 'ioredis';
import { TrunkPool } from '../backbone/index.js';
import { LastlayerError, messageOf } from '../errors.js';
import type { WhenAllowed } from './embed-job.js';
import { JobRunner, JOBS_AT_ONCE, type JobRunnerOptions } from './job-runner.js';
import type { JobData, JobResult, Outcomes } from './job.js';
import { connectRedis, withoutPassword } from './redis.js';
import { announcedRuns, PREFIX, type Run } from './run.js';
import { inTurn } from './turns.js';

/** Between two looks for new runs. */
const LOOK_MS = 500;
const DEFAULT_STALLED_AFTER_MS = 30_000;

export interface WorkerOptions extends JobRunnerOptions {
  /** Address of Redis. */
  queue: string;
  /** A job whose worker gave no sign of life for so many milliseconds goes to another. Default: 30,000. */
  stalledAfter?: number;
  /** Ends the work once the jobs under way are done. */
  signal: AbortSignal;
  /** Told what the user should know. */
  onNotice?: (line: string) => void;
  /** Called when a job is done. */
  onOutcomes?: (outcomes: Outcomes) => void;
}

/**
 * Does jobs of all runs in the queue that are of its model, until the signal aborts.
 * @throws {LastlayerError} where Redis cannot be reached
 */
export async function work(options: WorkerOptions): Promise<void> {
  const { queue, backbone, signal, onNotice } = options;
  const redis = await connectRedis(queue, onNotice);
  const trunk = new TrunkPool(backbone);
  const attendance = new Attendance(redis, new JobRunner(redis, trunk, options), options);
  onNotice?.(`Waiting for jobs of ${backbone.id} at ${withoutPassword(queue)}.`);
  try {
    while (!signal.aborted) {
      await attendance.update();
      await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    await attendance.end();
    await trunk.close();
    redis.disconnect();
  }
}

/** The runs that a worker attends, each with a BullMQ worker of its own. */
class Attendance {
  private readonly workers = new Map<string, Worker<JobData, JobResult>>();
  private readonly refused = new Set<string>();

  constructor(
    private readonly redis: Redis,
    private readonly jobs: JobRunner,
    private readonly options: WorkerOptions,
  ) {}

  /** Attends new runs and leaves those that are over. */
  async update(): Promise<void> {
    const runs = await announcedRuns(this.redis);
    for (const [name, worker] of this.workers) {
      if (runs.has(name)) continue;
      this.workers.delete(name);
      await worker.close();
    }
    for (const [name, run] of runs) {
      if (this.workers.has(name)) continue;
      const reason = await this.reasonAgainst(run);
      if (reason === undefined) this.attend(name, run);
      else if (!this.refused.has(name)) {
        this.refused.add(name);
        this.options.onNotice?.(reason);
      }
    }
  }

  /** Waits for the jobs under way. */
  async end(): Promise<void> {
    await Promise.all([...this.workers.values()].map((worker) => worker.close()));
  }

  private async reasonAgainst({ modelId, transformId, dataset }: Run): Promise<string | undefined> {
    const { id, transformId: ownTransform } = this.options.backbone;
    if (modelId !== id || transformId !== ownTransform) {
      return (
        `The jobs for ${dataset} are left to other workers: they are of ${modelId} (${transformId}), and this worker has ${id} ` +
        `(${ownTransform}). Start one with the same --model and --precision as embed.`
      );
    }
    const isThere = await stat(dataset).then(
      () => true,
      () => false,
    );
    if (isThere) return undefined;
    return `The jobs for ${dataset} are left to other workers: there is no such file or folder here. Mount it under the same path.`;
  }

  private attend(name: string, run: Run): void {
    const { stalledAfter = DEFAULT_STALLED_AFTER_MS, onNotice, onOutcomes } = this.options;
    const worker = new Worker<JobData, JobResult>(
      name,
      async (job, token = '') => {
        const whenAllowed: WhenAllowed = (commit) =>
          inTurn(this.redis, name, async () => {
            await hold(job, token, stalledAfter);
            await commit();
          });
        return this.jobs.run(run, job, whenAllowed);
      },
      {
        connection: this.redis,
        prefix: PREFIX,
        name: `${hostname()}-${process.pid}`,
        concurrency: JOBS_AT_ONCE,
        lockDuration: stalledAfter,
        stalledInterval: stalledAfter / 2,
        // How often a job may end a worker is counted here.
        maxStalledCount: Number.MAX_SAFE_INTEGER,
      },
    );
    // Of the connection, and of jobs that went to another worker, the user is told elsewhere.
    worker.on('error', () => undefined);
    worker.on('failed', (_, error) => onNotice?.(`A job for ${run.dataset} failed: ${messageOf(error)}`));
    worker.on('completed', (_, result) => {
      if ('outcomes' in result) onOutcomes?.(result.outcomes);
    });
    this.workers.set(name, worker);
    onNotice?.(`At work on ${run.dataset} for ${run.store}.`);
  }
}

/** @throws {LastlayerError} where the job is not this worker's any more */
async function hold(job: Job<JobData>, token: string, duration: number): Promise<void> {
  if ((await job.extendLock(token, duration)) === 1) return;
  throw new LastlayerError('this worker gave no sign of life for too long, and another one has the job now.');
}
