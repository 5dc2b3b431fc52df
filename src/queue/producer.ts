import { setTimeout as delay } from 'node:timers/promises';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import { LastlayerError } from '../errors.js';
import type { DatasetEntry } from '../images/index.js';
import { chunksOf, halvesOf, jobId, type JobData, type JobResult, type Outcomes } from './job.js';
import { PREFIX, queueName, startsKey, type Run } from './run.js';

/** Jobs that are in the queue at the same time: so many for each worker, and never fewer than for a few workers. */
const JOBS_A_WORKER = 8;
const FEWEST_JOBS = 32;

const POLL_MS = 200;
const CHECK_MS = 5_000;

/** A job that fails, because the store cannot be reached for example, is tried so often. */
const ATTEMPTS = 4;
const FIRST_RETRY_MS = 1_000;

export interface ProducerOptions {
  redis: Redis;
  /** Pictures in a job. */
  jobSize: number;
  signal?: AbortSignal;
  /** Called when a job is done. */
  onOutcomes: (outcomes: Outcomes) => void;
  /** Called now and then with how many workers there are. */
  onWorkers: (count: number) => void;
}

/**
 * Puts the pictures of a data set into a queue as jobs and waits until workers have done them. No more jobs are in it than keep
 * the workers busy, whatever the size of the data set. What workers do meanwhile is kept if it is broken off.
 */
export class Producer {
  private readonly queue: Queue<JobData, JobResult>;
  /** Jobs that are not known to be done, by their ids. */
  private readonly outstanding = new Map<string, JobData>();
  private mostJobs = FEWEST_JOBS;
  private lastCheck = Date.now();

  constructor(
    private readonly run: Run,
    private readonly options: ProducerOptions,
  ) {
    const connection = options.redis;
    this.queue = new Queue(queueName(run), { connection, prefix: PREFIX });
    // Of the connection, whoever made it is told.
    this.queue.on('error', () => undefined);
  }

  /**
   * @throws {LastlayerError} where a job failed too often
   * @throws the signal's reason, once it aborts; the jobs stay where they are
   */
  async produce(entries: AsyncIterable<DatasetEntry>): Promise<void> {
    await this.clear();
    const { modelId, transformId } = this.run;
    for await (const chunk of chunksOf(entries, this.options.jobSize)) {
      while (this.outstanding.size >= this.mostJobs) await this.collect();
      await this.put({ entries: chunk, modelId, transformId, suspect: false });
    }
    while (this.outstanding.size > 0) await this.collect();
    await this.queue.obliterate({ force: true });
    await this.options.redis.del(startsKey(this.queue.name));
  }

  async close(): Promise<void> {
    await this.queue.close();
  }

  /** Removes the jobs of an earlier run, whose labels may be old ones; waits for those that a worker is at. */
  private async clear(): Promise<void> {
    for (;;) {
      this.options.signal?.throwIfAborted();
      await this.queue.drain(true);
      for (const kind of ['completed', 'failed'] as const) await this.queue.clean(0, 0, kind);
      const active = await this.queue.getActive();
      // Refused where a worker is at it.
      const removed = await Promise.allSettled(active.map((job) => job.remove()));
      if (removed.every(({ status }) => status === 'fulfilled')) return;
      await this.wait();
    }
  }

  private async put(job: JobData): Promise<void> {
    const id = jobId(job);
    this.outstanding.set(id, job);
    await this.queue.add('embed', job, {
      jobId: id,
      attempts: ATTEMPTS,
      backoff: { type: 'exponential', delay: FIRST_RETRY_MS },
    });
  }

  /** Takes in what is done, or waits a little. */
  private async collect(): Promise<void> {
    this.options.signal?.throwIfAborted();
    await this.refuseFailed();
    const done = await this.queue.getCompleted(0, 99);
    for (const { id = '', returnvalue } of done) {
      await this.queue.remove(id);
      const job = this.outstanding.get(id);
      // One that was done twice counts once.
      if (!job) continue;
      this.outstanding.delete(id);
      if ('split' in returnvalue) for (const half of halvesOf(job)) await this.put(half);
      else this.options.onOutcomes(returnvalue.outcomes);
    }
    if (Date.now() - this.lastCheck > CHECK_MS) await this.check();
    if (done.length === 0) await this.wait();
  }

  private async refuseFailed(): Promise<void> {
    const [failed] = await this.queue.getFailed(0, 0);
    if (!failed) return;
    const [first] = failed.data.entries;
    throw new LastlayerError(
      `A job of ${failed.data.entries.length} pictures, from ${first?.path ?? ''} on, failed ${failed.attemptsMade} times: ` +
        `${failed.failedReason} What is done is kept; put it right and run the command again.`,
    );
  }

  /** Looks how many workers there are, and puts jobs again that a Redis without its append-only file has lost. */
  private async check(): Promise<void> {
    this.lastCheck = Date.now();
    const workers = await this.queue.getWorkersCount();
    this.mostJobs = Math.max(FEWEST_JOBS, JOBS_A_WORKER * workers);
    this.options.onWorkers(workers);
    for (const [id, job] of [...this.outstanding]) {
      if ((await this.queue.getJobState(id)) === 'unknown') await this.put(job);
    }
  }

  private async wait(): Promise<void> {
    const { signal } = this.options;
    // Its end is noticed by whoever goes on.
    await delay(POLL_MS, undefined, signal && { signal }).catch(() => undefined);
  }
}
