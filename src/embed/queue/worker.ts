import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Semaphore } from 'async-mutex';
import { type Job, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Backbone } from '../../backbone/backbone.js';
import { type BackboneRunner, BackbonePool } from '../../backbone/pool.js';
import type { Dataset, DatasetEntry } from '../../data/dataset.js';
import { readPicture, stateOf } from '../../data/read.js';
import { rowOf } from '../../store/row.js';
import { EmbeddingStore } from '../../store/store.js';
import type { EmbeddingTable } from '../../store/table.js';
import { LastlayerError, messageOf } from '../../util/errors.js';
import { isLearntFrom } from '../embed.js';
import { DEFAULT_CONCURRENCY, embedPictures } from '../pipeline.js';
import { sha256Of } from '../../util/hash.js';
import {
  announcedRuns,
  type JobData,
  type JobResult,
  type Outcomes,
  PREFIX,
  type Run,
  startsKey,
} from './job.js';
import { inTurn } from './lock.js';
import { connectRedis, withoutPassword } from './redis.js';

/** Between two looks for new runs. */
const LOOK_MS = 500;
const DEFAULT_STALLED_AFTER_MS = 30_000;

export interface WorkerOptions extends JobRunnerOptions {
  /** Address of Redis. */
  queue: string;
  /** A job whose worker gave no sign of life for so many milliseconds goes to another. Default: 30,000. */
  stalledAfter?: number | undefined;
  /** Ends the work once the jobs under way are done. */
  signal: AbortSignal;
  /** Told what the user should know. */
  onNotice?: ((line: string) => void) | undefined;
  /** Called when a job is done. */
  onOutcomes?: ((outcomes: Outcomes) => void) | undefined;
}

/**
 * Does jobs of all runs in the queue that are of its model, until the signal aborts.
 * @throws {LastlayerError} where Redis cannot be reached
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
      await delay(LOOK_MS, undefined, { signal }).catch(() => undefined);
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

/** While one job is being read, or written and the next is being fetched, the other keeps the backbone busy. */
const JOBS_AT_ONCE = 2;

/** A job that was begun so often, and not ended, is split; a picture by itself is given up. */
const MOST_STARTS = 2;

interface JobRunnerOptions {
  backbone: Backbone;
  /** Pictures that go through the backbone together, in each of its threads. Default: 8 on the processor, else 32. */
  batchSize?: number | undefined;
  /** Pictures that are read and decoded at the same time, in all jobs. Default: 32. */
  concurrency?: number | undefined;
}

/** Does a worker's jobs, of all its runs, two at a time, and finds those that end workers. */
class JobRunner {
  private readonly places = new Semaphore(JOBS_AT_ONCE);
  private jobsBegun = 0;

  constructor(
    private readonly redis: Redis,
    private readonly pool: BackbonePool,
    private readonly options: JobRunnerOptions,
  ) {}

  /**
   * Does a job when there is room for it.
   * @throws {LastlayerError} where it is of another model, and what `embedJob` throws
   */
  async run(run: Run, job: Job<JobData, JobResult>, whenAllowed: WhenAllowed): Promise<JobResult> {
    return this.places.runExclusive(() => this.process(run, job, whenAllowed), await this.weightOf(job));
  }

  private async process(
    run: Run,
    { id = '', data, queueName }: Job<JobData, JobResult>,
    whenAllowed: WhenAllowed,
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
          ? // Where even reading it ended a worker, it is not read.
            await recordCulprit(run, first, { mayRead: starts === MOST_STARTS, whenAllowed }, context)
          : await embedJob(run, data.entries, whenAllowed, context);
      await this.redis.hdel(startsKey(queueName), id);
      return { outcomes };
    } catch (error) {
      // It failed, but it did not end this worker.
      await this.redis.hincrby(startsKey(queueName), id, -1);
      throw error;
    }
  }

  /** A job that may end the worker is alone in it, so that no other comes under suspicion. */
  private async weightOf({ id = '', data, queueName }: Job<JobData>): Promise<number> {
    return data.suspect || (await this.starts(queueName, id)) > 0 ? JOBS_AT_ONCE : 1;
  }

  /** Of two jobs, the one begun first has the backbone first: in step, they would both be written while the backbone has nothing to do. */
  private contextOfNextJob(): JobContext {
    const { backbone, batchSize, concurrency = DEFAULT_CONCURRENCY } = this.options;
    const priority = -this.jobsBegun++;
    const pool = {
      size: this.pool.size,
      run: (pixels: Uint8Array<ArrayBuffer>) => this.pool.run(pixels, priority),
    };
    return {
      backbone,
      pool,
      concurrency: Math.ceil(concurrency / JOBS_AT_ONCE),
      batchSize,
    };
  }

  private async starts(queue: string, id: string): Promise<number> {
    return Number((await this.redis.hget(startsKey(queue), id)) ?? 0);
  }
}

/** What a worker has for all its jobs. */
interface JobContext {
  backbone: Backbone;
  pool: BackboneRunner;
  batchSize?: number | undefined;
  /** Pictures that are decoded at the same time. */
  concurrency: number;
}

/** Commits when it is allowed. */
type WhenAllowed = (commit: () => Promise<void>) => Promise<void>;

/** Why a picture has no embedding that nobody could make. */
const CULPRIT =
  'it ended two workers, one after the other, that were at nothing but this picture; it is not tried again unless it changes';

/**
 * Sees to it that the store has the rows of a job's pictures, in one commit: all of them or none.
 * @param whenAllowed is handed the commit; throws where somebody else has the job by now
 */
async function embedJob(
  run: Run,
  entries: readonly DatasetEntry[],
  whenAllowed: WhenAllowed,
  context: JobContext,
): Promise<Outcomes> {
  const outcomes: Outcomes = { embedded: 0, reused: 0, unchanged: 0, failed: 0 };
  await withTable(run, whenAllowed, (table) =>
    embedPictures(table, listed(run.dataset, entries), {
      ...context,
      views: run.views,
      isAugmented: isLearntFrom,
      onOutcome: (outcome) => outcomes[outcome]++,
    }),
  );
  return outcomes;
}

/**
 * Gives a picture that ends workers a row that says so.
 * @param may.mayRead whether it may be read; then the row has its digest, and it is known from then on
 */
async function recordCulprit(
  run: Run,
  entry: DatasetEntry,
  may: { mayRead: boolean; whenAllowed: WhenAllowed },
  { backbone }: JobContext,
): Promise<Outcomes> {
  const { bytes, state } = may.mayRead ? await readPicture(entry) : {};
  const sha256 = bytes ? sha256Of(bytes) : null;
  const subject = { entry, ...(await stateOf(entry, false)), ...state };
  const row = rowOf(subject, run.dataset, backbone, { sha256, error: CULPRIT });
  await withTable(run, may.whenAllowed, (table) => table.put(row));
  return { embedded: 0, reused: 0, unchanged: 0, failed: 1 };
}

async function withTable(
  { store: location, modelId, transformId, width }: Run,
  whenAllowed: WhenAllowed,
  put: (table: EmbeddingTable) => Promise<void>,
): Promise<void> {
  const store = await EmbeddingStore.open(location, { create: false });
  try {
    const writes = { blockRows: Infinity, blockMs: Infinity, compact: false, whenAllowed };
    const table = await store.tableToShare(modelId, transformId, width, writes);
    await put(table);
    await table.flush();
  } finally {
    store.close();
  }
}

/** A data set of a few pictures that somebody else has listed. */
function listed(root: string, entries: readonly DatasetEntry[]): Dataset {
  return {
    root,
    layout: 'job',
    skipped: { count: 0, examples: [] },
    // eslint-disable-next-line @typescript-eslint/require-await -- nothing is to be waited for
    entries: async function* () {
      yield* entries;
    },
    contains: (path) => Promise.resolve(entries.some((entry) => entry.path === path)),
  };
}
