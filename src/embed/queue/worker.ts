import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Semaphore } from 'async-mutex';
import { type Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Backbone } from '../../backbone/backbone.js';
import { BackbonePool, type PictureEmbedder } from '../../backbone/pool.js';
import type { DatasetEntry } from '../../data/dataset.js';
import { readPicture, stateOf } from '../../data/read.js';
import type { Square } from '../../image/square.js';
import { rowOf } from '../../store/row.js';
import { EmbeddingStore } from '../../store/store.js';
import type { EmbeddingTable } from '../../store/table.js';
import { LastlayerError, messageOf } from '../../util/errors.js';
import { sha256Of } from '../../util/hash.js';
import { DEFAULT_CONCURRENCY, embedPictures, isTrainingPicture, type Listing } from '../pipeline.js';
import {
  announcedRuns,
  commitKey,
  type JobData,
  type JobResult,
  type Outcomes,
  PREFIX,
  type Run,
  startsKey,
} from './job.js';
import { RedisLock } from './lock.js';
import { connectRedis, withoutPassword } from './redis.js';

/** Between two looks for new runs. */
const POLL_MS = 500;
const DEFAULT_STALLED_AFTER_MS = 30_000;

export interface WorkerOptions extends JobRunnerOptions {
  /** Address of Redis. */
  queue: string;
  /** Milliseconds without a sign of life from its worker after which a job goes to another. @default 30,000 */
  stalledAfter?: number | undefined;
  /** Ends the work once the jobs under way are done. */
  signal: AbortSignal;
  /** Told what the user should know. */
  onNotice?: ((line: string) => void) | undefined;
  /** Called when a job is done. */
  onOutcomes?: ((outcomes: Outcomes) => void) | undefined;
}

/**
 * Does the jobs of all runs in the queue that use its model, until the signal aborts.
 * @throws {LastlayerError} if Redis cannot be reached
 */
export async function work(options: WorkerOptions): Promise<void> {
  const { queue, backbone, signal, onNotice } = options;
  const redis = await connectRedis(queue, onNotice);
  const pool = new BackbonePool(backbone);
  const attendance = new Attendance(redis, new JobRunner(redis, pool, options), options);
  onNotice?.(`Waiting for jobs of ${backbone.id} at ${withoutPassword(queue)}.`);
  try {
    while (!signal.aborted) {
      await attendance.update();
      await delay(POLL_MS, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    await attendance.end();
    await pool.close();
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
        this.options.onNotice?.(`The jobs for ${run.dataset} are left to other workers: ${reason}`);
      }
    }
  }

  /** Waits for the jobs under way. */
  async end(): Promise<void> {
    await Promise.all([...this.workers.values()].map((worker) => worker.close()));
  }

  private async reasonAgainst({ modelId, transformId, dataset }: Run): Promise<string | undefined> {
    const own = this.options.backbone;
    if (modelId !== own.id || transformId !== own.transformId) {
      return (
        `they are of ${modelId} (${transformId}), and this worker has ${own.id} (${own.transformId}). Start one with the same ` +
        '--model and --precision as embed.'
      );
    }
    return stat(dataset).then(
      () => undefined,
      () => 'there is no such file or folder here. Mount it under the same path.',
    );
  }

  private attend(name: string, run: Run): void {
    const { stalledAfter = DEFAULT_STALLED_AFTER_MS, onNotice, onOutcomes } = this.options;
    const worker = new Worker<JobData, JobResult>(
      name,
      (job, token = '') =>
        this.jobs.run(run, job, (commit) =>
          withCommitLock(this.redis, name, async () => {
            await keep(job, token, stalledAfter);
            await commit();
          }),
        ),
      {
        connection: this.redis,
        prefix: PREFIX,
        name: `${hostname()}-${process.pid}`,
        concurrency: JOBS_AT_ONCE,
        lockDuration: stalledAfter,
        stalledInterval: stalledAfter / 2,
        // `JobRunner` counts how often a job kills a worker.
        maxStalledCount: Number.MAX_SAFE_INTEGER,
      },
    );
    // `connectRedis` tells of a broken connection; jobs that went to another worker are of no interest.
    worker.on('error', () => undefined);
    worker.on('failed', (_, error) => onNotice?.(`A job for ${run.dataset} failed: ${messageOf(error)}`));
    worker.on('completed', (_, result) => {
      if ('outcomes' in result) onOutcomes?.(result.outcomes);
    });
    this.workers.set(name, worker);
    onNotice?.(`At work on ${run.dataset} for ${run.store}.`);
  }
}

/** A writer that is lost holds up the others for this long. */
const COMMIT_EXPIRES_MS = 10_000;
const COMMIT_POLL_MS = 25;

/**
 * Has workers commit one after another. Nothing depends on that, as Lance refuses what conflicts; but a refused commit starts from
 * scratch, so that writers who collide are slower together than one alone (measured at a million rows: 2.8 commits a second by one
 * writer, 0.6 by four).
 * @throws what the commit throws
 */
async function withCommitLock(redis: Redis, queue: string, commit: () => Promise<void>): Promise<void> {
  const lock = new RedisLock(redis, commitKey(queue), COMMIT_EXPIRES_MS);
  await lock.acquire({ pollMs: COMMIT_POLL_MS });
  try {
    await commit();
  } finally {
    await lock.release();
  }
}

/** @throws {LastlayerError} if another worker has the job by now */
async function keep(job: Job<JobData>, token: string, duration: number): Promise<void> {
  if ((await job.extendLock(token, duration)) === 1) return;
  throw new LastlayerError('this worker gave no sign of life for too long, and another one has the job now.');
}

/** While one job is being read, or written and the next is being fetched, the other keeps the backbone busy. */
const JOBS_AT_ONCE = 2;

/** A job that was begun so often and never finished is split. A picture by itself is given up. */
const MOST_STARTS = 2;

interface JobRunnerOptions {
  backbone: Backbone;
  /** Pictures per batch, in each of the backbone's threads. @default 4 on the CPU, else 32 */
  batchSize?: number | undefined;
  /** Pictures that are read and decoded at the same time, in all jobs. @default 32 */
  concurrency?: number | undefined;
}

/** Does the jobs of a worker, of all its runs, two at a time, and finds pictures that kill workers. */
class JobRunner {
  private readonly slots = new Semaphore(JOBS_AT_ONCE);
  private jobsBegun = 0;

  constructor(
    private readonly redis: Redis,
    private readonly pool: BackbonePool,
    private readonly options: JobRunnerOptions,
  ) {}

  /**
   * Does a job when there is room for it.
   * @throws {LastlayerError} if it is of another model, and what `embedJob` throws
   */
  async run(run: Run, job: Job<JobData, JobResult>, wrapCommit: WrapCommit): Promise<JobResult> {
    const { id = '', data, queueName } = job;
    // A job that may kill the worker runs alone, so that no other comes under suspicion.
    const isSuspect = data.suspect || (await this.starts(queueName, id)) > 0;
    return this.slots.runExclusive(() => this.process(run, job, wrapCommit), isSuspect ? JOBS_AT_ONCE : 1);
  }

  private async process(
    run: Run,
    { id = '', data, queueName }: Job<JobData, JobResult>,
    wrapCommit: WrapCommit,
  ): Promise<JobResult> {
    const context = this.contextOfNextJob();
    const { id: modelId, transformId } = context.backbone;
    if (data.modelId !== modelId || data.transformId !== transformId) {
      throw new LastlayerError(
        `the job is of ${data.modelId} (${data.transformId}), and this worker has ${modelId} (${transformId}).`,
      );
    }
    const [first, ...rest] = data.entries;
    const starts = await this.starts(queueName, id);
    if (starts >= MOST_STARTS && rest.length > 0) return { split: true };
    await this.redis.hincrby(startsKey(queueName), id, 1);
    try {
      const outcomes =
        starts >= MOST_STARTS && first
          ? // If even reading it killed a worker, it is not read.
            await giveUp(run, first, { mayRead: starts === MOST_STARTS, wrapCommit }, context)
          : await embedJob(run, data.entries, wrapCommit, context);
      await this.redis.hdel(startsKey(queueName), id);
      return { outcomes };
    } catch (error) {
      // It failed, but it did not kill this worker.
      await this.redis.hincrby(startsKey(queueName), id, -1);
      throw error;
    }
  }

  /** Of two jobs, the one begun first has the backbone first. In step, they would both be written while the backbone is idle. */
  private contextOfNextJob(): JobContext {
    const { backbone, batchSize, concurrency = DEFAULT_CONCURRENCY } = this.options;
    const priority = -this.jobsBegun++;
    const pool = {
      size: this.pool.size,
      embed: (squares: readonly Square[]) => this.pool.embed(squares, priority),
    };
    return { backbone, pool, batchSize, concurrency: Math.ceil(concurrency / JOBS_AT_ONCE) };
  }

  private async starts(queue: string, id: string): Promise<number> {
    return Number((await this.redis.hget(startsKey(queue), id)) ?? 0);
  }
}

interface JobContext {
  backbone: Backbone;
  pool: PictureEmbedder;
  batchSize: number | undefined;
  concurrency: number;
}

/** Wraps a commit. Throws without committing if another worker has the job by now. */
type WrapCommit = (commit: () => Promise<void>) => Promise<void>;

/** Puts the rows of a job's pictures into the store in one commit: all of them or none. */
async function embedJob(
  run: Run,
  entries: readonly DatasetEntry[],
  wrapCommit: WrapCommit,
  context: JobContext,
): Promise<Outcomes> {
  const outcomes: Outcomes = { embedded: 0, reused: 0, unchanged: 0, failed: 0 };
  await withTable(run, wrapCommit, (table) =>
    embedPictures(table, listed(run.dataset, entries), {
      ...context,
      views: run.views,
      isAugmented: isTrainingPicture,
      rows: 'new',
      onOutcome: (outcome) => outcomes[outcome]++,
    }),
  );
  return outcomes;
}

/** The pictures of a job as a data set. */
function listed(root: string, entries: readonly DatasetEntry[]): Listing {
  return {
    root,
    // eslint-disable-next-line @typescript-eslint/require-await -- there is nothing to wait for
    entries: async function* () {
      yield* entries;
    },
  };
}

const CRASHED =
  'it crashed two workers, one after the other, that were at work on nothing else; it is not tried again unless it changes';

/**
 * Gives a picture that kills workers a row that says so.
 * @param options.mayRead whether it may be read. Then the row has its digest, and the picture is known from then on
 */
async function giveUp(
  run: Run,
  entry: DatasetEntry,
  { mayRead, wrapCommit }: { mayRead: boolean; wrapCommit: WrapCommit },
  { backbone }: JobContext,
): Promise<Outcomes> {
  const { bytes, state } = mayRead ? await readPicture(entry) : {};
  const sha256 = bytes ? sha256Of(bytes) : null;
  const subject = { entry, ...(await stateOf(entry, false)), ...state };
  const row = rowOf(subject, run.dataset, backbone, { sha256, error: CRASHED });
  await withTable(run, wrapCommit, (table) => table.put(row));
  return { embedded: 0, reused: 0, unchanged: 0, failed: 1 };
}

async function withTable(
  { store: location, modelId, transformId, width }: Run,
  wrapCommit: WrapCommit,
  put: (table: EmbeddingTable) => Promise<void>,
): Promise<void> {
  const store = await EmbeddingStore.open(location, { create: false });
  try {
    const writes = { blockRows: Infinity, blockMs: Infinity, compact: false, wrapCommit };
    const table = await store.existingTable(modelId, transformId, width, writes);
    if (!table) throw new LastlayerError(`The store ${location} has no table for ${modelId}.`);
    await put(table);
    await table.flush();
  } finally {
    store.close();
  }
}
