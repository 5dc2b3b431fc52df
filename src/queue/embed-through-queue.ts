import {
  DEFAULT_STORE,
  embedDataset,
  EmbeddingStore,
  entriesOf,
  type EmbedOptions,
  type EmbedSummary,
} from '../embeddings/index.js';
import { UsageError } from '../errors.js';
import { asOnlyProducer } from './producer-lock.js';
import { Producer } from './producer.js';
import { connectRedis, withoutPassword } from './redis.js';
import { announce, withdraw, type Run } from './run.js';

/** Enough for a worker to be busy for seconds; few enough that little is lost with one. */
const DEFAULT_JOB_SIZE = 256;

export interface QueueOptions extends Omit<EmbedOptions, 'pass' | 'trunk' | 'batchSize' | 'concurrency'> {
  /** Address of Redis. */
  queue: string;
  /** Pictures in a job. Default: 256. */
  jobSize?: number;
  /** Told what the user should know. */
  onNotice?: (line: string) => void;
  /** Called with the number of rows before the index for similar pictures is built, which takes a while. */
  onIndex?: (rows: number) => void;
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
  if (!Number.isSafeInteger(jobSize) || jobSize < 1) {
    throw new UsageError(`jobSize is ${jobSize}; a whole number from 1 on is expected.`);
  }
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
          ...{ redis, jobSize, onWorkers: tellOfNone(queue, onNotice) },
          ...(signal && { signal }),
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
