import { readFile, stat } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { loadBackbone } from '../backbone/load.js';
import { Classifier, predictOwnClasses } from '../classify/classifier.js';
import type { DatasetEntry } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import type { Prediction } from '../head/head.js';
import type { ViewSet } from '../image/views.js';
import { abortable } from '../util/async.js';
import { LastlayerError, messageOf, UsageError } from '../util/errors.js';
import {
  backboneOptions,
  deviceOption,
  headOption,
  jsonOption,
  type ModelFlags,
  modelOption,
  threadsOption,
  VIEWS_HELP,
  viewsOption,
  wholeNumber,
} from './options.js';
import { interruptible } from './progress.js';
import { complain, notice, onOneLine, percent, print, table } from './terminal.js';

interface PredictFlags extends ModelFlags {
  head: string;
  topK: number;
  ownClasses?: true | undefined;
  labels?: string | undefined;
  views?: ViewSet[] | undefined;
  json?: true | undefined;
}

export const predictCommand = (command: Command): Command =>
  command
    .argument('<image...>', 'picture files, or folders of them')
    .addOption(headOption())
    .addOption(
      new Option('--top-k <k>', 'classes to name for each picture').argParser(wholeNumber).default(3),
    )
    .option('--own-classes', "use the network's own last layer (ImageNet's 1000 classes) instead of a head")
    .option('--labels <file>', 'with --own-classes: the names of its classes, one a line')
    .addOption(viewsOption('further views to judge each picture by (default: none)'))
    .addOption(modelOption())
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
unknown: the picture is less like any class than 95 % of the pictures that the head got right in training, so it is probably
none of them. That catches most pictures of quite other things; it can not catch one that looks like one of the classes and
is something else. The labels shown are the best guess all the same.

A head of any number of labels gives those whose probability reaches their threshold, beside the name of the picture; below
it are the most probable ones all the same.

${VIEWS_HELP}
The logits of all views are averaged; each view takes as much time as the picture itself.

Exit code 3: done, but some pictures could not be read.

Examples:
  npm run predict -- --head head.safetensors ant.jpg bee.jpg
  npm run predict -- --head head.safetensors --top-k 5 --json photos/
  npm run predict -- --own-classes dog.jpg`,
    )
    .action(run);

/** What is told of a picture. */
interface Found {
  predictions: Prediction[];
  /** Whether it is probably none of the classes; the network's own last layer cannot say. */
  unknown?: boolean | undefined;
  /** Of a multilabel head: the labels that it gives. */
  labels?: string[] | undefined;
}

type Answer = ({ path: string } & Found) | { path: string; error: string };

async function run(images: string[], flags: PredictFlags): Promise<void> {
  const predict = await predictor(flags);
  const answers: Answer[] = [];
  await interruptible(async (signal) => {
    for await (const { path, problem } of filesOf(images)) {
      signal.throwIfAborted();
      const answer =
        problem === undefined
          ? await abortable(answerFor(path, predict), signal)
          : { path, error: `${path} cannot be read: ${problem}.` };
      if (!flags.json) show(answer);
      answers.push(answer);
    }
  });
  if (flags.json) print(JSON.stringify({ predictions: answers }));
  if (answers.some((answer) => 'error' in answer)) process.exitCode = 3;
}

async function predictor(flags: PredictFlags): Promise<(path: string) => Promise<Found>> {
  const { topK } = flags;
  const options = { ...backboneOptions(flags), onNotice: notice };
  if (flags.ownClasses) {
    if (flags.views?.length) {
      throw new UsageError(
        '--views is for a head; with --own-classes, one view is looked at. Leave one of them out.',
      );
    }
    const backbone = await loadBackbone(options);
    const labels = flags.labels === undefined ? undefined : await linesOf(flags.labels);
    return async (path) => ({
      predictions: await predictOwnClasses(backbone, path, { topK, labels }),
    });
  }
  const { views = [] } = flags;
  const classifier = await Classifier.load(flags.head, { ...options, views });
  return (path) => classifier.classify(path, { topK });
}

async function answerFor(path: string, predict: (path: string) => Promise<Found>): Promise<Answer> {
  try {
    return { path, ...(await predict(path)) };
  } catch (error) {
    if (!(error instanceof LastlayerError)) throw error;
    return { path, error: error.message };
  }
}

function show(answer: Answer): void {
  if ('error' in answer) {
    complain(onOneLine(answer.error));
    return;
  }
  print(`${onOneLine(answer.path)}${verdict(answer)}`);
  print(table(answer.predictions.map(({ label, probability }) => [`  ${label}`, percent(probability)])));
}

function verdict({ unknown, labels }: Found): string {
  if (labels) return `: ${labels.join(', ') || 'none of the labels'}`;
  return unknown ? ': unknown, probably none of the classes' : '';
}

async function* picturesIn(folder: string): AsyncGenerator<DatasetEntry> {
  for await (const entry of (await openDataset(folder)).entries()) {
    if (entry.source) {
      throw new UsageError(
        `${entry.path} is no file of its own; predict takes picture files and folders of them.`,
      );
    }
    yield entry;
  }
}

async function* filesOf(images: readonly string[]): AsyncGenerator<Pick<DatasetEntry, 'path' | 'problem'>> {
  for (const path of images) {
    const found = await stat(path).catch(() => undefined);
    if (!found?.isDirectory()) yield { path };
    else yield* picturesIn(path);
  }
}

async function linesOf(path: string): Promise<string[]> {
  try {
    return (await readFile(path, 'utf8')).trimEnd().split(/\r?\n/);
  } catch (error) {
    throw new LastlayerError(`The labels ${path} cannot be read: ${messageOf(error)}.`);
  }
}
