import { setTimeout as delay } from 'node:timers/promises';
import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';
import type { DatasetEntry } from '../../data/dataset.js';
import { DEFAULT_STORE, EmbeddingStore } from '../../store/store.js';
import { LastlayerError } from '../../util/errors.js';
import { embedDataset, type EmbedOptions, type EmbedSummary } from '../embed.js';
import { entriesOf } from '../pipeline.js';
import { checkInteger } from '../../util/validate.js';
import {
  announce,
  chunksOf,
  halvesOf,
  type JobData,
  jobId,
  type JobResult,
  type Outcomes,
  PREFIX,
  queueName,
  type Run,
  startsKey,
  withdraw,
} from './job.js';
import { asOnlyProducer } from './lock.js';
import { connectRedis, withoutPassword } from './redis.js';

/** Enough for a worker to be busy for seconds; few enough that little is lost with one. */
const DEFAULT_JOB_SIZE = 256;

export interface QueueOptions extends Omit<EmbedOptions, 'pass' | 'pool' | 'batchSize' | 'concurrency'> {
  /** Address of Redis. */
  queue: string;
  /** Pictures in a job. Default: 256. */
  jobSize?: number | undefined;
  /** Told what the user should know. */
  onNotice?: ((line: string) => void) | undefined;
  /** Called with the number of rows before the index for similar pictures is built, which takes a while. */
  onIndex?: ((rows: number) => void) | undefined;
}

/**
 * As `embedDataset`, by workers on any number of machines: it lists the data set, puts its pictures into a queue, waits for the
 * workers, joins the small files that they wrote and builds the store's indexes. Workers find store and data set under the same
 * paths or addresses. Broken off, it leaves its jobs to the workers, and run again it goes on from what they have done.
 * @throws as `embedDataset` does, and {@link LastlayerError} where Redis cannot be used, another process does the same, or a job
 *   failed several times
 */
export async function embedThroughQueue(
  path: string,
  { queue, jobSize = DEFAULT_JOB_SIZE, onNotice, onIndex, ...options }: QueueOptions,
): Promise<EmbedSummary> {
  checkInteger('jobSize', jobSize, { min: 1 });
  const store = EmbeddingStore.locate(options.store ?? DEFAULT_STORE);
  const redis = await connectRedis(queue, onNotice);
  try {
    const summary = await embedDataset(path, {
      ...options,
      store,
      pass: async (table, dataset, { backbone, split, views, signal, onOutcome }) => {
        await refuseUnsharable(store, backbone);
        const { id: modelId, transformId, width } = backbone;
        const run: Run = { store, dataset: dataset.root, modelId, transformId, width, views };
        const producer = new Producer(run, {
          redis,
          jobSize,
          onWorkers: tellOfNone(queue, onNotice),
          signal,
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
      },
    });
    await buildIndex(summary, onIndex);
    return summary;
  } finally {
    redis.disconnect();
  }
}

/** @throws {LastlayerError} where several workers cannot write to the store */
async function refuseUnsharable(
  location: string,
  { id, transformId, width }: EmbedOptions['backbone'],
): Promise<void> {
  const store = await EmbeddingStore.open(location, { create: false });
  await store.tableToShare(id, transformId, width, {}).finally(() => {
    store.close();
  });
}

/** Tells once, until there are some, that there are no workers. */
function tellOfNone(queue: string, onNotice: QueueOptions['onNotice']): (workers: number) => void {
  let told = false;
  return (workers) => {
    if (workers === 0 && !told) {
      onNotice?.(
        `No worker is at it yet. On each machine: npm run worker -- --queue ${withoutPassword(queue)} (and the same --model and --precision)`,
      );
    }
    told = workers === 0;
  };
}

async function buildIndex(
  { store, modelId, transformId, width }: EmbedSummary,
  onWork: QueueOptions['onIndex'],
): Promise<void> {
  const opened = await EmbeddingStore.open(store, { create: false });
  try {
    const table = await opened.existingTable(modelId, transformId, width);
    await table?.vectorIndex.bringUpToDate(onWork && { onWork });
  } finally {
    opened.close();
  }
}

/** Jobs that are in the queue at the same time: so many for each worker, and never fewer than for a few workers. */
const JOBS_A_WORKER = 8;
const FEWEST_JOBS = 32;

const POLL_MS = 200;
const CHECK_MS = 5_000;

/** A job that fails, because the store cannot be reached for example, is tried so often. */
const ATTEMPTS = 4;
const FIRST_RETRY_MS = 1_000;

interface ProducerOptions {
  redis: Redis;
  /** Pictures in a job. */
  jobSize: number;
  signal?: AbortSignal | undefined;
  /** Called when a job is done. */
  onOutcomes: (outcomes: Outcomes) => void;
  /** Called now and then with how many workers there are. */
  onWorkers: (count: number) => void;
}

/**
 * Puts the pictures of a data set into a queue as jobs and waits until workers have done them. No more jobs are in it than keep
 * the workers busy, whatever the size of the data set. What workers do meanwhile is kept if it is broken off.
 */
class Producer {
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
