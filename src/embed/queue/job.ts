import type { Redis } from 'ioredis';
import type { DatasetEntry } from '../../data/dataset.js';
import type { View } from '../../image/views.js';
import { sha256Of } from '../../util/hash.js';

/** Some pictures of a data set, for one worker. */
export interface JobData {
  entries: DatasetEntry[];
  /** The model and the transform to embed them with. */
  modelId: string;
  transformId: string;
  /** Whether it is a half of a job that killed workers. It then runs alone in its worker. */
  suspect: boolean;
}

/** Pictures per outcome; or `split` if the job has killed two workers and is to be tried in halves. */
export type JobResult = { outcomes: Outcomes } | { split: true };

/** Pictures per outcome. */
export interface Outcomes {
  embedded: number;
  reused: number;
  unchanged: number;
  failed: number;
}

/** The same for the same pictures and labels, so that a job that is put twice is in the queue once. */
export function jobId({ entries, modelId, transformId }: JobData): string {
  return sha256Of(JSON.stringify([modelId, transformId, entries])).slice(0, 32);
}

/** The embedding of one data set into one store with one model: what a worker has to know before its jobs. */
export interface Run {
  /** Absolute path, or the address of an object store. */
  store: string;
  /** Absolute path of the data set. */
  dataset: string;
  modelId: string;
  transformId: string;
  /** Width of the embeddings. */
  width: number;
  /** Augmented views to embed of the training pictures. */
  views: readonly View[];
}

/** The name of a run's queue. Runs that differ in store, data set, model or transform never share one. */
export function queueName({ store, dataset, modelId, transformId }: Run): string {
  const identity = JSON.stringify([store, dataset, modelId, transformId]);
  return sha256Of(identity).slice(0, 16);
}

/** All keys in Redis begin with this. */
export const PREFIX = 'lastlayer';

/** The Redis hash of how often jobs were begun and not finished, by job id. */
export function startsKey(queue: string): string {
  return `${PREFIX}:${queue}:starts`;
}

/** The key of the lock of a queue's only producer. */
export function producerKey(queue: string): string {
  return `${PREFIX}:${queue}:producer`;
}

/** The key of the commit lock. */
export function commitKey(queue: string): string {
  return `${PREFIX}:${queue}:commit`;
}

const RUNS = `${PREFIX}:runs`;

/** Makes a run known to workers. */
export async function announce(redis: Redis, run: Run): Promise<void> {
  await redis.hset(RUNS, queueName(run), JSON.stringify(run));
}

/** Has workers leave a run. */
export async function withdraw(redis: Redis, run: Run): Promise<void> {
  await redis.hdel(RUNS, queueName(run));
}

/** The announced runs, by the names of their queues. */
export async function announcedRuns(redis: Redis): Promise<Map<string, Run>> {
  const runs = Object.entries(await redis.hgetall(RUNS));
  return new Map(runs.map(([name, text]) => [name, JSON.parse(text) as Run]));
}
