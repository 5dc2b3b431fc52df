import { createHash } from 'node:crypto';
import type { DatasetEntry } from '../images/index.js';

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
  return createHash('sha256')
    .update(JSON.stringify([modelId, transformId, entries]))
    .digest('hex')
    .slice(0, 32);
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
