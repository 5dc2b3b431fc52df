import { createHash } from 'node:crypto';
import type { Backbone, Trunk } from '../backbone/index.js';
import {
  embedPictures,
  EmbeddingStore,
  isLearntFrom,
  rowOf,
  type EmbeddingTable,
} from '../embeddings/index.js';
import { readPicture, stateOf, type Dataset, type DatasetEntry } from '../images/index.js';
import type { Outcomes } from './job.js';
import type { Run } from './run.js';

/** What a worker has for all its jobs. */
export interface JobContext {
  backbone: Backbone;
  trunk: Trunk;
  batchSize?: number;
  /** Pictures that are decoded at the same time. */
  concurrency: number;
}

/** Commits when it is allowed. */
export type WhenAllowed = (commit: () => Promise<void>) => Promise<void>;

/** Why a picture has no embedding that nobody could make. */
const CULPRIT =
  'it ended two workers, one after the other, that were at nothing but this picture; it is not tried again unless it changes';

/**
 * Sees to it that the store has the rows of a job's pictures, in one commit: all of them or none.
 * @param whenAllowed is handed the commit; throws where somebody else has the job by now
 */
export async function embedJob(
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
      takesViews: isLearntFrom,
      onOutcome: (outcome) => outcomes[outcome]++,
    }),
  );
  return outcomes;
}

/**
 * Gives a picture that ends workers a row that says so.
 * @param may.mayRead whether it may be read; then the row has its digest, and it is known from then on
 */
export async function recordCulprit(
  run: Run,
  entry: DatasetEntry,
  may: { mayRead: boolean; whenAllowed: WhenAllowed },
  { backbone }: JobContext,
): Promise<Outcomes> {
  const { bytes, state } = may.mayRead ? await readPicture(entry) : {};
  const sha256 = bytes ? createHash('sha256').update(bytes).digest('hex') : null;
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
    leftOut: { count: 0, examples: [] },
    // eslint-disable-next-line @typescript-eslint/require-await -- nothing is to be waited for
    entries: async function* () {
      yield* entries;
    },
    contains: (path) => Promise.resolve(entries.some((entry) => entry.path === path)),
  };
}
