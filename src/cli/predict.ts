import { readFile, stat } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { loadBackbone } from '../backbone/load.js';
import { type Classification, Classifier, predictPretrainedClasses } from '../classify/classifier.js';
import type { DatasetEntry } from '../data/dataset.js';
import { openDataset } from '../data/open.js';
import { DEFAULT_TOP_K } from '../head/head.js';
import type { UnknownRate } from '../head/unknown.js';
import type { ViewSet } from '../image/views.js';
import { abortable } from '../util/async.js';
import { LastlayerError, messageOf, UsageError } from '../util/errors.js';
import { percent } from '../util/format.js';
import {
  deviceOption,
  headOption,
  jsonOption,
  type ModelFlags,
  modelOfHeadOption,
  threadsOption,
  unknownOption,
  VIEWS_HELP,
  viewsOption,
  wholeNumber,
} from './options.js';
import { interruptible } from './progress.js';
import { complain, notice, onOneLine, print, styled, table } from './terminal.js';

interface PredictFlags extends ModelFlags {
  head: string;
  topK: number;
  pretrainedClasses?: true | undefined;
  labels?: string | undefined;
  views?: ViewSet[] | undefined;
  unknown?: UnknownRate | undefined;
  json?: true | undefined;
}

export const predictCommand = (command: Command): Command =>
  command
    .argument('<image...>', 'picture files, or folders of them')
    .addOption(headOption())
    .addOption(new Option('--top-k <k>', 'classes to show per picture').argParser(wholeNumber).default(DEFAULT_TOP_K))
    .option(
      '--pretrained-classes',
      "use the backbone's own last layer (the 1000 classes of ImageNet) instead of a head",
    )
    .option('--labels <file>', 'with --pretrained-classes: the names of the classes, one per line')
    .addOption(viewsOption('augmented views to average over'))
    .addOption(unknownOption('as the head was trained'))
    .addOption(modelOfHeadOption())
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
typicality: the share of the training pictures, of those that the head got right in cross-validation, that are less typical of
the classes than this picture. Where it is below the rate of --unknown, the picture is "unlike the training pictures", and the
predictions are only the best guess. That catches most pictures of entirely different things, but not something that looks like
one of the classes. A higher rate catches more, and flags about that share of the pictures that are predicted right.

With a multilabel head, the labels whose probability reaches their threshold stand beside the picture, and the most probable
labels below.

${VIEWS_HELP}
The logits of all views are averaged. Each view takes as much time as the picture itself.

Exit code 3: done, but some pictures could not be read.

Examples:
  npm run predict -- --head head.safetensors ant.jpg bee.jpg
  npm run predict -- --head head.safetensors --top-k 5 --json photos/
  npm run predict -- --pretrained-classes dog.jpg`,
    )
    .action(run);

/** `unknown` and `typicality` are absent for the pretrained classes, of whose training pictures nothing is known. */
type Prediction = Pick<Classification, 'predictions' | 'labels'> &
  Partial<Pick<Classification, 'unknown' | 'typicality'>>;
type Answer = { path: string } & (Prediction | { error: string });

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

async function predictor(flags: PredictFlags): Promise<(path: string) => Promise<Prediction>> {
  const { topK, views = [] } = flags;
  if (!flags.pretrainedClasses) {
    const classifier = await Classifier.load(flags.head, { ...flags, onNotice: notice });
    return (path) => classifier.classify(path, { topK });
  }
  if (flags.unknown !== undefined) {
    throw new UsageError('--unknown needs a head. Leave out either --unknown or --pretrained-classes.');
  }
  if (views.length > 0) {
    throw new UsageError('--views needs a head. Leave out either --views or --pretrained-classes.');
  }
  const backbone = await loadBackbone({ ...flags, onNotice: notice });
  const labels = flags.labels === undefined ? undefined : await linesOf(flags.labels);
  return async (path) => ({ predictions: await predictPretrainedClasses(backbone, path, { topK, labels }) });
}

async function linesOf(path: string): Promise<string[]> {
  try {
    return (await readFile(path, 'utf8')).trimEnd().split(/\r?\n/);
  } catch (error) {
    throw new LastlayerError(`The labels ${path} cannot be read: ${messageOf(error)}.`);
  }
}

async function* filesOf(images: readonly string[]): AsyncGenerator<Pick<DatasetEntry, 'path' | 'problem'>> {
  for (const path of images) {
    const found = await stat(path).catch(() => undefined);
    if (!found?.isDirectory()) {
      yield { path };
      continue;
    }
    for await (const entry of (await openDataset(path)).entries()) {
      if (entry.source) {
        throw new UsageError(
          `${entry.path} is not a file of its own. predict takes picture files and folders of them.`,
        );
      }
      yield entry;
    }
  }
}

async function answerFor(path: string, predict: (path: string) => Promise<Prediction>): Promise<Answer> {
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

function verdict({ predictions: [best], unknown, typicality, labels }: Prediction): string {
  if (labels) return `: ${labels.join(', ') || 'none of the labels'}`;
  if (typeof typicality !== 'number') return '';
  const how = `typicality ${typicality.toFixed(3)}`;
  if (!unknown) return `: ${how}`;
  return `: ${styled('yellow', 'unlike the training pictures')} (${how}), best guess ${best?.label ?? 'none'}`;
}
