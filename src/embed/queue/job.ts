import type { Redis } from 'ioredis';
import type { DatasetEntry } from '../../data/dataset.js';
import type { View } from '../../image/views.js';
import { sha256Of } from '../../util/hash.js';

/** Pictures of a data set that one worker sees to. */
export interface JobData {
  entries: DatasetEntry[];
  /** What their embeddings must be of. */
  modelId: string;
  transformId: string;
  /** Whether it is a part of a job that ended workers, and has to be by itself in a worker. */
  suspect: boolean;
}

/** What came of a job: pictures by outcome; or that it ended two workers, and is to be tried in halves. */
export type JobResult = { outcomes: Outcomes } | { split: true };

/** How many pictures came by their row how. */
export interface Outcomes {
  embedded: number;
  reused: number;
  unchanged: number;
  failed: number;
}

/** The same for the same pictures under the same labels, so that a job that is put twice is there once. */
export function jobId({ entries, modelId, transformId }: JobData): string {
  return sha256Of(JSON.stringify([modelId, transformId, entries])).slice(0, 32);
}

/** Both halves of a job of two or more pictures. */
export function halvesOf(job: JobData): [JobData, JobData] {
  const middle = Math.ceil(job.entries.length / 2);
  const part = (entries: DatasetEntry[]): JobData => ({ ...job, entries, suspect: true });
  return [part(job.entries.slice(0, middle)), part(job.entries.slice(middle))];
}

/** Entries so many at a time. */
export async function* chunksOf(
  entries: AsyncIterable<DatasetEntry>,
  size: number,
): AsyncGenerator<DatasetEntry[]> {
  let chunk: DatasetEntry[] = [];
  for await (const entry of entries) {
    chunk.push(entry);
    if (chunk.length < size) continue;
    yield chunk;
    chunk = [];
  }
  if (chunk.length > 0) yield chunk;
}

/** One data set that is being embedded into one store with one model: what a worker has to know before its jobs. */
export interface Run {
  /** Absolute path, or the address of an object store. */
  store: string;
  /** Absolute path of the data set. */
  dataset: string;
  modelId: string;
  transformId: string;
  /** Width of the embeddings. */
  width: number;
  /** Further views to embed of the pictures to train on. */
  views: readonly View[];
}

/** In front of all that is kept in Redis. */
export const PREFIX = 'lastlayer';
const RUNS = `${PREFIX}:runs`;

/** The name of a run's queue. Runs that differ in store, data set, model or transform have different ones, so they never mix. */
export function queueName({ store, dataset, modelId, transformId }: Run): string {
  const identity = JSON.stringify([store, dataset, modelId, transformId]);
  return sha256Of(identity).slice(0, 16);
}

/** How often jobs of a queue were begun and not brought to an end: a hash by job id. */
export function startsKey(queue: string): string {
  return `${PREFIX}:${queue}:starts`;
}

/** Who produces the jobs of a queue: a text that expires. */
export function producerKey(queue: string): string {
  return `${PREFIX}:${queue}:producer`;
}

/** Whose turn it is to commit: a text that expires. */
export function commitKey(queue: string): string {
  return `${PREFIX}:${queue}:commit`;
}

/** Has workers find a run. */
export async function announce(redis: Redis, run: Run): Promise<void> {
  await redis.hset(RUNS, queueName(run), JSON.stringify(run));
}

/** Has workers leave a run. */
export async function withdraw(redis: Redis, run: Run): Promise<void> {
  await redis.hdel(RUNS, queueName(run));
}

/** The runs that are announced, by the names of their queues. */
export async function announcedRuns(redis: Redis): Promise<Map<string, Run>> {
  const runs = Object.entries(await redis.hgetall(RUNS));
  return new Map(runs.map(([name, text]) => [name, JSON.parse(text) as Run]));
}
