import { type Command, Option } from 'commander';
import type { Backbone } from '../backbone/backbone.js';
import { loadBackbone } from '../backbone/load.js';
import { int8Backbone } from '../backbone/quantize/quantize.js';
import type { Split } from '../data/dataset.js';
import { embedDataset, type EmbedOptions, type EmbedProgress, type EmbedSummary } from '../embed/embed.js';
import type { ViewSet } from '../image/views.js';
import { EmbeddingStore } from '../store/store.js';
import { UsageError } from '../util/errors.js';
import {
  batchSizeOption,
  concurrencyOption,
  datasetOrExamples,
  deviceOption,
  jsonOption,
  type ModelFlags,
  modelOption,
  precisionOption,
  requireFloat32,
  splitOption,
  storeOption,
  threadsOption,
  VIEWS_HELP,
  viewsOption,
} from './options.js';
import { interruptible, Progress } from './progress.js';
import { notice, onOneLine, print, say } from './terminal.js';

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

/** Unreadable pictures that are listed on the terminal; --json lists them all. */
const LISTED = 20;

export const embedCommand = (command: Command): Command =>
  command
    .argument(
      '[dataset]',
      'folder of class folders, of train|val|test folders, or of pictures; .csv or .jsonl manifest; .tar, .parquet, .lance',
    )
    .addOption(storeOption())
    .addOption(modelOption())
    .addOption(batchSizeOption())
    .addOption(concurrencyOption())
    .addOption(splitOption('embed only this split; name the split of a data set that has none'))
    .addOption(precisionOption())
    .addOption(
      new Option(
        '--queue <url>',
        'leave the work to workers (npm run worker) that are reached through this Redis',
      ),
    )
    .addOption(viewsOption('augmented views of training pictures to embed'))
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
What is embedded already is not embedded again, and files that did not change are not read.
With --precision int8, the network's int8 model is used, and made from pictures of the data set where there is none.
${VIEWS_HELP}
train-head learns from all views that are embedded, of the pictures of the training split and of those of no split. Where
some are embedded already, the missing ones are added; without --views they stay as they are.
With --queue, the pictures are embedded by all that run \`npm run worker\`, on any number of machines that have data set and
store under the same paths or addresses; here, the data set is listed and the progress shown. Ctrl-C leaves them what is in the
queue; run again, it goes on from there. See docs/scale.md.
Exit code 3: done, but some pictures could not be read; they are listed at the end.

Examples:
  npm run embed                                   the example pictures that come with a clone
  npm run embed -- ~/photos                       ~/photos/cat/1.jpg, ~/photos/dog/1.jpg, …
  npm run embed -- photos.csv --store embeddings  a manifest with the columns path, label, split
  npm run embed -- ~/photos --precision int8      with int8 arithmetic
  npm run embed -- ~/photos --store s3://bucket/photos
  npm run embed -- /mnt/photos --store /mnt/embeddings --queue redis://10.0.0.5:6379
  npm run embed -- ~/photos --views flip          with mirror images of the training pictures
  npm run embed -- ~/photos --model resnet34.pth --json`,
    )
    .action(embed);

async function embed(argument: string | undefined, flags: EmbedFlags): Promise<void> {
  const dataset = datasetOrExamples(argument, 'npm run embed -- FOLDER');
  const loaded = await loadBackbone({ ...flags, onNotice: notice });
  if (flags.precision === 'fp32') requireFloat32(loaded);
  const started = Date.now();
  let last: EmbedProgress | undefined;
  const summary = await interruptible(async (signal) => {
    const backbone = flags.precision === 'int8' ? await inInt8(loaded, dataset, flags, signal) : loaded;
    const progress = new Progress('embedding', 'pictures');
    try {
      return await embedHereOrThere(dataset, flags, {
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
          `${last.done} of ${last.total} pictures are in ${flags.store}. Run the command again to go on from there.`,
        );
      }
    }
  });
  const seconds = (Date.now() - started) / 1000;
  if (summary.failed > 0) process.exitCode = 3;
  const errors = summary.failed > 0 ? await failures(summary, flags.split) : [];
  if (flags.json) print(JSON.stringify({ ...summary, seconds, errors }));
  else describe(summary, errors, { seconds, wantsViews: (flags.views ?? []).length > 0 });
}

/** Embeds the pictures in this process or, with --queue, has workers embed them. */
async function embedHereOrThere(
  dataset: string,
  { queue, batchSize, concurrency }: EmbedFlags,
  options: EmbedOptions,
): Promise<EmbedSummary> {
  if (queue === undefined) {
    return embedDataset(dataset, {
      ...options,
      ...(batchSize === undefined ? {} : { batchSize }),
      ...(concurrency === undefined ? {} : { concurrency }),
    });
  }
  if (batchSize !== undefined || concurrency !== undefined) {
    throw new UsageError('With --queue, --batch-size and --concurrency are options of the workers.');
  }
  // Only whoever has a queue needs what it takes.
  const { embedThroughQueue } = await import('../embed/queue/producer.js');
  return embedThroughQueue(dataset, {
    ...{ ...options, queue, onNotice: notice },
    onIndex: (rows) => {
      say(`Building an index of ${rows} embeddings, for similar pictures …`);
    },
  });
}

/** The int8 model of the network, with a progress bar while it is made. */
async function inInt8(
  backbone: Backbone,
  dataset: string,
  flags: EmbedFlags,
  signal: AbortSignal,
): Promise<Backbone> {
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

function describe(
  summary: EmbedSummary,
  errors: Failure[],
  { seconds, wantsViews }: { seconds: number; wantsViews: boolean },
): void {
  const { total, embedded, reused, unchanged, failed, removed, views, skipped } = summary;
  const labels = Object.entries(summary.labels).filter(([label]) => label !== '');
  const splits = Object.entries(summary.splits).filter(([split]) => split !== '');
  print(`${summary.dataset}: ${total} pictures (${summary.layout})`);
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
  if (views > 0) print(`  views      ${views} more embeddings, of further views of the pictures to train on`);
  else if (wantsViews) say('There are no pictures to train on, so no further views were embedded.');
  if (removed > 0) print(`  removed    ${removed} of files that are gone`);
  if (skipped.count > 0) {
    say(
      `${skipped.count} files are no pictures by their ending, such as ${skipped.examples.slice(0, 3).map(onOneLine).join(', ')}`,
    );
  }
  if (errors.length > 0) {
    say(`\n${failed} pictures could not be read:`);
    for (const { path, error } of errors.slice(0, LISTED)) say(`  ${onOneLine(path)}: ${onOneLine(error)}`);
    if (failed > LISTED) say(`  … and ${failed - LISTED} more; --json lists them all`);
  }
}

interface Failure {
  path: string;
  error: string;
}

async function failures(
  { store, dataset, modelId, transformId, width }: EmbedSummary,
  split: Split | undefined,
): Promise<Failure[]> {
  const opened = await EmbeddingStore.open(store, { create: false });
  const table = await opened.table(modelId, transformId, width);
  const found: Failure[] = [];
  const rows = { dataset, failed: true, split };
  for await (const block of table.read(rows, ['path', 'error'])) {
    for (const { path, error } of block) found.push({ path, error: error ?? '' });
  }
  opened.close();
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

function counted(entries: [string, number][]): string {
  const shown = entries.slice(0, 10).map(([name, n]) => `${name} ${n}`);
  return shown.join(', ') + (entries.length > 10 ? `, … (${entries.length} in all)` : '');
}
