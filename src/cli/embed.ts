import type { Backbone } from '../backbone/backbone.js';
import { loadBackbone } from '../backbone/load.js';
import { int8Backbone, requireFloat32 } from '../backbone/quantize/quantize.js';
import type { Split } from '../data/dataset.js';
import { embedDataset, type EmbedOptions, type EmbedProgress, type EmbedSummary } from '../embed/embed.js';
import type { ViewSet } from '../image/views.js';
import { EmbeddingStore } from '../store/store.js';
import { DEFAULT_STORE } from '../util/defaults.js';
import { UsageError } from '../util/errors.js';
import { quantity } from '../util/format.js';
import { call, option, sayNext } from './next.js';
import { datasetOrExamples, type ModelFlags } from './options.js';
import { interruptible, Progress } from './progress.js';
import { notice, onOneLine, print, printJson, say } from './terminal.js';

interface EmbedFlags extends ModelFlags {
  store: string;
  precision?: 'fp32' | 'int8' | undefined;
  batchSize?: number | undefined;
  concurrency?: number | undefined;
  queue?: string | undefined;
  split?: Split | undefined;
  views?: ViewSet[] | undefined;
  json?: true | undefined;
}

export async function run(argument: string | undefined, flags: EmbedFlags): Promise<void> {
  const dataset = datasetOrExamples(argument, 'npm run embed -- FOLDER');
  const loaded = await loadBackbone({ ...flags, onNotice: notice });
  if (flags.precision === 'fp32') requireFloat32(loaded);
  const started = Date.now();
  let last: EmbedProgress | undefined;
  const summary = await interruptible(async (signal) => {
    const backbone = flags.precision === 'int8' ? await inInt8(loaded, dataset, flags, signal) : loaded;
    const progress = new Progress('embedding', 'pictures');
    try {
      return await embedHereOrByWorkers(dataset, flags, {
        backbone,
        store: flags.store,
        split: flags.split,
        views: flags.views,
        signal,
        onProgress: (state) => {
          if (state.phase === 'embed') progress.update(state.done, state.total, state.embedded);
          last = state;
        },
      });
    } finally {
      progress.stop();
      if (signal.aborted && last) {
        say(
          `${flags.store} has ${last.done} of ${quantity(last.total, 'picture')}. Run the command again to go on from there.`,
        );
      }
    }
  });
  const seconds = (Date.now() - started) / 1000;
  if (summary.failed > 0) process.exitCode = 3;
  const errors = summary.failed > 0 ? await failures(summary, flags.split) : [];
  if (flags.json) printJson({ ...summary, seconds, errors });
  else {
    describe(summary, errors, { seconds, wantsViews: (flags.views ?? []).length > 0 });
    await nameNext(summary, flags.store);
  }
}

/** @param location as given, not absolute as in the summary */
async function nameNext({ dataset, modelId, labels }: EmbedSummary, location: string): Promise<void> {
  const store = await EmbeddingStore.open(location, { create: false });
  const models = (await store.datasets()).filter((record) => record.dataset === dataset);
  store.close();
  const args = [
    ...option('--store', location, DEFAULT_STORE),
    ...option('--model', models.length > 1 ? modelId : undefined),
  ];
  const classes = Object.keys(labels).filter((label) => label !== '').length;
  sayNext(
    classes > 1
      ? `${call('train-head', ...args)} trains a head on these embeddings.`
      : `${call('search', 'PICTURE', ...args)} finds similar pictures. A head needs pictures of two classes or more.`,
  );
}

/** The int8 model of the backbone. */
async function inInt8(backbone: Backbone, dataset: string, flags: EmbedFlags, signal: AbortSignal): Promise<Backbone> {
  const progress = new Progress('calibrating', 'pictures');
  try {
    return await int8Backbone(backbone, dataset, {
      session: flags,
      signal,
      onNotice: notice,
      onProgress: (done, total) => {
        progress.update(done, total);
      },
    });
  } finally {
    progress.stop();
  }
}

/** Embeds the pictures in this process or, with --queue, by workers. */
async function embedHereOrByWorkers(
  dataset: string,
  { queue, batchSize, concurrency }: EmbedFlags,
  options: EmbedOptions,
): Promise<EmbedSummary> {
  if (queue === undefined) {
    return embedDataset(dataset, { ...options, batchSize, concurrency });
  }
  if (batchSize !== undefined || concurrency !== undefined) {
    throw new UsageError('With --queue, --batch-size and --concurrency are options of the workers.');
  }
  // Loading BullMQ takes time, so it is loaded only if there is a queue.
  const { embedThroughQueue } = await import('../embed/queue/producer.js');
  return embedThroughQueue(dataset, {
    ...options,
    queue,
    onNotice: notice,
    onIndex: (rows) => {
      say(`Building an index of ${rows} embeddings, for similar pictures …`);
    },
  });
}

interface Failure {
  path: string;
  error: string;
}

/** The pictures that could not be read, by path. */
async function failures(
  { store, dataset, modelId, transformId, width }: EmbedSummary,
  split: Split | undefined,
): Promise<Failure[]> {
  const opened = await EmbeddingStore.open(store, { create: false });
  const table = await opened.table(modelId, transformId, width);
  const found: Failure[] = [];
  for await (const block of table.read({ dataset, failed: true, split }, ['path', 'error'])) {
    for (const { path, error } of block) found.push({ path, error: error ?? '' });
  }
  opened.close();
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Unreadable pictures to list on the terminal. */
const LISTED = 20;

function describe(
  summary: EmbedSummary,
  errors: Failure[],
  { seconds, wantsViews }: { seconds: number; wantsViews: boolean },
): void {
  const { total, embedded, reused, unchanged, failed, removed, views, skipped } = summary;
  const labels = Object.entries(summary.labels).filter(([label]) => label !== '');
  const splits = Object.entries(summary.splits).filter(([split]) => split !== '');
  print(`${summary.dataset}: ${quantity(total, 'picture')} (${summary.layout})`);
  if (labels.length > 0) print(`  classes    ${counted(labels)}`);
  if (splits.length > 0) print(`  splits     ${counted(splits)}`);
  const parts = [
    [embedded, 'embedded'],
    [unchanged, 'unchanged'],
    [reused, 'known by content'],
    [failed, 'unreadable'],
  ] as const;
  const shown = parts.filter(([n]) => n > 0).map(([n, what]) => `${n} ${what}`);
  print(`  pictures   ${shown.join(', ')}, in ${seconds.toFixed(1)} s`);
  print(`  embeddings [${total - failed}, ${summary.width}] by ${summary.modelId} in ${summary.store}`);
  if (views > 0)
    print(`  views      ${quantity(views, 'more embedding')}, of augmented views of the training pictures`);
  else if (wantsViews) say('There are no training pictures, so no augmented views were embedded.');
  if (removed > 0) print(`  removed    ${removed}, whose files are gone`);
  for (const remark of skipped.remarks) say(onOneLine(remark));
  if (skipped.count > 0) {
    say(
      `skipped ${quantity(skipped.count, 'file')}, not named like a picture: ${skipped.examples.slice(0, 3).map(onOneLine).join(', ')}`,
    );
  }
  if (errors.length > 0) {
    say(`\n${quantity(failed, 'picture')} could not be read:`);
    for (const { path, error } of errors.slice(0, LISTED)) say(`  ${onOneLine(path)}: ${onOneLine(error)}`);
    if (failed > LISTED) say(`  … and ${failed - LISTED} more; --json lists them all`);
  }
}

function counted(entries: [string, number][]): string {
  const shown = entries.slice(0, 10).map(([name, n]) => `${name} ${n}`);
  return shown.join(', ') + (entries.length > 10 ? `, … (${entries.length} in all)` : '');
}
