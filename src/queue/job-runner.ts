import { Semaphore } from 'async-mutex';
import type { Job } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Backbone, TrunkPool } from '../backbone/index.js';
import { DEFAULT_CONCURRENCY } from '../embeddings/index.js';
import { LastlayerError } from '../errors.js';
import { embedJob, recordCulprit, type JobContext, type WhenAllowed } from './embed-job.js';
import type { JobData, JobResult } from './job.js';
import { startsKey, type Run } from './run.js';

/** While one job is being read, or written and the next is being fetched, the other keeps the trunk busy. */
export const JOBS_AT_ONCE = 2;

/** A job that was begun so often, and not ended, is split; a picture by itself is given up. */
const MOST_STARTS = 2;

export interface JobRunnerOptions {
  backbone: Backbone;
  /** Pictures that go through the trunk together, in each of its threads. Default: 8 on the processor, else 32. */
  batchSize?: number;
  /** Pictures that are read and decoded at the same time, in all jobs. Default: 32. */
  concurrency?: number;
}

/** Does a worker's jobs, of all its runs, two at a time, and finds those that end workers. */
export class JobRunner {
  private readonly places = new Semaphore(JOBS_AT_ONCE);
  private jobsBegun = 0;

  constructor(
    private readonly redis: Redis,
    private readonly trunk: TrunkPool,
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

  /** Of two jobs, the one begun first has the trunk first: in step, they would both be written while the trunk has nothing to do. */
  private contextOfNextJob(): JobContext {
    const { backbone, batchSize, concurrency = DEFAULT_CONCURRENCY } = this.options;
    const priority = -this.jobsBegun++;
    const trunk = {
      size: this.trunk.size,
      run: (pixels: Uint8Array<ArrayBuffer>) => this.trunk.run(pixels, priority),
    };
    return {
      ...{ backbone, trunk, concurrency: Math.ceil(concurrency / JOBS_AT_ONCE) },
      ...(batchSize !== undefined && { batchSize }),
    };
  }

  private async starts(queue: string, id: string): Promise<number> {
    return Number((await this.redis.hget(startsKey(queue), id)) ?? 0);
  }
}
