import { setTimeout as delay } from 'node:timers/promises';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { DatasetEntry } from '../../data/dataset.js';
import { EmbeddingStore } from '../../store/store.js';
import { DEFAULT_STORE } from '../../util/defaults.js';
import { LastlayerError } from '../../util/errors.js';
import { checkInteger } from '../../util/validate.js';
import { embedDataset, type EmbedOptions, type EmbedSummary, type Pipeline } from '../embed.js';
import { entriesOf } from '../pipeline.js';
import {
  announce,
  type JobData,
  jobId,
  type JobResult,
  type Outcomes,
  PREFIX,
  producerKey,
  queueName,
  type Run,
  startsKey,
  withdraw,
} from './job.js';
import { RedisLock } from './lock.js';
import { connectRedis, withoutPassword } from './redis.js';

/** Keeps a worker busy for seconds; little is lost with one. */
const DEFAULT_JOB_SIZE = 256;

export interface QueueOptions extends Omit<EmbedOptions, 'pool' | 'batchSize' | 'concurrency'> {
  /** Address of Redis. */
  queue: string;
  /** Pictures in a job. @default 256 */
  jobSize?: number | undefined;
  /** Told what the user should know. */
  onNotice?: ((line: string) => void) | undefined;
  /** Called with the number of rows before the index for similar pictures is built, which takes a while. */
  onIndex?: ((rows: number) => void) | undefined;
}

/**
 * As `embedDataset`, by workers on any number of machines, which find the store and the data set under the same paths or addresses:
 * puts the pictures into a queue, waits for the workers, joins the small files that they wrote and builds the store's indexes. If it
 * is stopped, the workers go on with what is in the queue, and another run goes on from there.
 * @throws as `embedDataset` does, and {@link LastlayerError} if Redis cannot be used, another process does the same, or a job failed
 *   several times
 */
export async function embedThroughQueue(
  path: string,
  { queue, jobSize = DEFAULT_JOB_SIZE, onNotice, onIndex, ...options }: QueueOptions,
): Promise<EmbedSummary> {
  checkInteger('jobSize', jobSize, { min: 1 });
  const store = EmbeddingStore.locate(options.store ?? DEFAULT_STORE);
  const redis = await connectRedis(queue, onNotice);
  const byWorkers: Pipeline = async (table, dataset, { backbone, split, views, signal, onOutcome }) => {
    const { id: modelId, transformId, width } = backbone;
    const run: Run = { store, dataset: dataset.root, modelId, transformId, width, views };
    const producer = new Producer(run, {
      redis,
      jobSize,
      signal,
      onWorkers: noticeIfNone(queue, onNotice),
      onOutcomes: (outcomes) => {
        for (const outcome of ['embedded', 'reused', 'unchanged', 'failed'] as const)
          for (let i = 0; i < outcomes[outcome]; i++) onOutcome(outcome);
      },
    });
    try {
      await asOnlyProducer(redis, run, async () => {
        await announce(redis, run);
        await producer.produce(entriesOf(dataset, split));
        await withdraw(redis, run);
      });
    } finally {
      await producer.close();
    }
    await table.refresh();
  };
  try {
    const summary = await embedDataset(path, { ...options, store }, byWorkers);
    await buildIndex(summary, onIndex);
    return summary;
  } finally {
    redis.disconnect();
  }
}

/** Tells once, until there are some, that there are no workers. */
function noticeIfNone(queue: string, onNotice: QueueOptions['onNotice']): (workers: number) => void {
  let told = false;
  return (workers) => {
    if (workers === 0 && !told) {
      onNotice?.(
        `There is no worker yet. On each machine: npm run worker -- --queue ${withoutPassword(queue)} (and the same --model and --precision)`,
      );
    }
    told = workers === 0;
  };
}

/** A producer that is killed keeps its lock for this long. */
const PRODUCER_EXPIRES_MS = 10_000;

/** @throws {LastlayerError} if the run has another producer */
async function asOnlyProducer(redis: Redis, run: Run, work: () => Promise<void>): Promise<void> {
  const lock = new RedisLock(redis, producerKey(queueName(run)), PRODUCER_EXPIRES_MS);
  if (!(await lock.acquire({ pollMs: 500, timeoutMs: 1.2 * PRODUCER_EXPIRES_MS }))) {
    throw new LastlayerError(
      `${run.dataset} is being embedded into ${run.store} with ${run.modelId} by another process already. Let it finish, or ` +
        'stop it and run this again.',
    );
  }
  const extension = setInterval(() => void lock.extend().catch(() => undefined), PRODUCER_EXPIRES_MS / 4);
  try {
    await work();
  } finally {
    clearInterval(extension);
    await lock.release();
  }
}

async function buildIndex(
  { store, modelId, transformId, width }: EmbedSummary,
  onWork: QueueOptions['onIndex'],
): Promise<void> {
  const opened = await EmbeddingStore.open(store, { create: false });
  try {
    const table = await opened.existingTable(modelId, transformId, width);
    await table?.vectorIndex.bringUpToDate({ onWork });
  } finally {
    opened.close();
  }
}

/** How many jobs are in the queue at most: so many per worker, but never fewer than keep a few workers busy. */
const JOBS_PER_WORKER = 8;
const LEAST_JOBS = 32;

const POLL_MS = 200;
const CHECK_MS = 5_000;

/** Tries of a job that fails, for example because the store cannot be reached. */
const ATTEMPTS = 4;
const FIRST_RETRY_MS = 1_000;

interface ProducerOptions {
  redis: Redis;
  /** Pictures in a job. */
  jobSize: number;
  signal: AbortSignal | undefined;
  /** Called when a job is done. */
  onOutcomes: (outcomes: Outcomes) => void;
  /** Called every few seconds with the number of workers. */
  onWorkers: (count: number) => void;
}

/** Puts the pictures of a data set into a queue as jobs, a limited number at a time, and waits until workers have done them. */
class Producer {
  private readonly queue: Queue<JobData, JobResult>;
  /** Jobs that are not known to be done, by their ids. */
  private readonly outstanding = new Map<string, JobData>();
  private mostJobs = LEAST_JOBS;
  private lastCheck = Date.now();

  constructor(
    private readonly run: Run,
    private readonly options: ProducerOptions,
  ) {
    const connection = options.redis;
    this.queue = new Queue(queueName(run), { connection, prefix: PREFIX });
    // `connectRedis` tells of a broken connection.
    this.queue.on('error', () => undefined);
  }

  /**
   * @throws {LastlayerError} if a job failed too often
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

  /** Removes the jobs of an earlier run, whose labels may be out of date. Waits for those that a worker has begun. */
  private async clear(): Promise<void> {
    for (;;) {
      this.options.signal?.throwIfAborted();
      await this.queue.drain(true);
      for (const kind of ['completed', 'failed'] as const) await this.queue.clean(0, 0, kind);
      const active = await this.queue.getActive();
      // BullMQ refuses this while a worker has the job.
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
    await this.throwFailed();
    const done = await this.queue.getCompleted(0, 99);
    for (const { id = '', returnvalue } of done) {
      await this.queue.remove(id);
      const job = this.outstanding.get(id);
      // A job that was done twice counts once.
      if (!job) continue;
      this.outstanding.delete(id);
      if ('split' in returnvalue) for (const half of halvesOf(job)) await this.put(half);
      else this.options.onOutcomes(returnvalue.outcomes);
    }
    if (Date.now() - this.lastCheck > CHECK_MS) await this.check();
    if (done.length === 0) await this.wait();
  }

  private async throwFailed(): Promise<void> {
    const [failed] = await this.queue.getFailed(0, 0);
    if (!failed) return;
    const { entries } = failed.data;
    throw new LastlayerError(
      `A job of ${entries.length} pictures, from ${entries[0]!.path} on, failed ${failed.attemptsMade} times: ` +
        `${failed.failedReason} What is done is kept; put it right and run the command again.`,
    );
  }

  /** Counts the workers, and puts jobs again that a Redis without an append-only file has lost. */
  private async check(): Promise<void> {
    this.lastCheck = Date.now();
    const workers = await this.queue.getWorkersCount();
    this.mostJobs = Math.max(LEAST_JOBS, JOBS_PER_WORKER * workers);
    this.options.onWorkers(workers);
    for (const [id, job] of [...this.outstanding]) {
      if ((await this.queue.getJobState(id)) === 'unknown') await this.put(job);
    }
  }

  private async wait(): Promise<void> {
    const { signal } = this.options;
    // The caller checks the signal.
    await delay(POLL_MS, undefined, signal && { signal }).catch(() => undefined);
  }
}

async function* chunksOf(entries: AsyncIterable<DatasetEntry>, size: number): AsyncGenerator<DatasetEntry[]> {
  let chunk: DatasetEntry[] = [];
  for await (const entry of entries) {
    chunk.push(entry);
    if (chunk.length < size) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}

function halvesOf(job: JobData): JobData[] {
  const { entries } = job;
  const middle = Math.ceil(entries.length / 2);
  return [entries.slice(0, middle), entries.slice(middle)].map((half) => ({ ...job, entries: half, suspect: true }));
}
