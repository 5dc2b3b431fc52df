import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { loadBackbone } from '../backbone/load.js';
import { ClassFolders } from '../classify/class-folders.js';
import { Classifier, predictPretrainedClassesOfMany } from '../classify/classifier.js';
import { findPictures, PictureWatch } from '../data/pictures.js';
import { DEFAULT_HEAD } from '../head/file.js';
import { DEFAULT_TOP_K } from '../head/head.js';
import type { UnknownRate } from '../head/unknown.js';
import type { ViewSet } from '../image/views.js';
import { LastlayerError, messageOf, UsageError } from '../util/errors.js';
import { firstOf, percent } from '../util/format.js';
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
import {
  type Answer,
  CsvOutput,
  FoldersOutput,
  JsonLinesOutput,
  JsonOutput,
  type Output,
  type Prediction,
  Summary,
} from './predict-output.js';
import { call, option, sayNext } from './next.js';
import { Interrupted, interruptible, OutputClosed, Progress, Status } from './progress.js';
import { complain, notice, onOneLine, print, say, styled, table } from './terminal.js';

interface PredictFlags extends ModelFlags {
  head: string;
  topK: number;
  pretrainedClasses?: true | undefined;
  labels?: string | undefined;
  views?: ViewSet[] | undefined;
  unknown?: UnknownRate | undefined;
  csv?: string | undefined;
  jsonl?: true | undefined;
  copyTo?: string | undefined;
  linkTo?: string | undefined;
  watch?: true | undefined;
  json?: true | undefined;
}

export const predictCommand = (command: Command): Command =>
  command
    .argument('<image...>', 'picture files, folders of them, or patterns in quotes, such as "photos/*.jpg"')
    .addOption(headOption())
    .addOption(new Option('--top-k <k>', 'classes to show per picture').argParser(wholeNumber).default(DEFAULT_TOP_K))
    .option(
      '--pretrained-classes',
      "use the backbone's own last layer (the 1000 classes of ImageNet) instead of a head",
    )
    .option('--labels <file>', 'with --pretrained-classes: the names of the classes, one per line')
    .option('--csv <file>', 'write a row for each picture, and replace the file')
    .addOption(new Option('--jsonl', 'print a JSON object for each picture, as they come').conflicts('json'))
    .option('--copy-to <dir>', 'copy the pictures into a folder for each class')
    .option('--link-to <dir>', 'make links to the pictures in a folder for each class')
    .addOption(new Option('--watch', 'go on with the pictures that come into the folders').conflicts('json'))
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

The pictures of a folder are those in it and below it, sorted by path. With --csv, --copy-to or --link-to, they are not printed one
by one. The summary at the end counts the pictures of each class.

--copy-to and --link-to make unknown/ beside the folders of the classes and, with a multilabel head, none/. They never overwrite a
file: another picture of the same name becomes "name (2).jpg". One that is there already is left alone, so a second run is safe.

--watch takes a file once it has not changed for a second, also over a network, until Ctrl-C. One that cannot be read is tried again
when it changes.

Exit code 3: done, but some pictures could not be read.

Examples:
  npm run predict -- ant.jpg bee.jpg
  npm run predict -- photos/ --csv photos.csv
  npm run predict -- photos/ --copy-to sorted
  npm run predict -- inbox/ --watch --link-to sorted --jsonl
  npm run predict -- --head head.safetensors --top-k 5 --json "photos/2024-*/*.jpg"
  npm run predict -- --pretrained-classes dog.jpg`,
    )
    .action(run);

/** What is to be classified. */
interface Job {
  paths: Iterable<string> | AsyncIterable<string>;
  /** Undefined if more may come. */
  total?: number | undefined;
  /** Why there is nothing to read under some of the paths. */
  problems: ReadonlyMap<string, string>;
  /** Stops the work at once. */
  signal?: AbortSignal | undefined;
  /** Called with each answer. */
  onAnswer?: ((answer: Answer) => void) | undefined;
}

async function run(images: string[], flags: PredictFlags): Promise<void> {
  checkFlags(flags);
  const places = [flags.copyTo, flags.linkTo].filter((folder) => folder !== undefined);
  if (flags.watch) await watchFolders(images, places, flags);
  else await predictOnce(images, places, flags);
}

/** @throws {UsageError} if options do not go together */
function checkFlags({ pretrainedClasses, labels, unknown, views = [] }: PredictFlags): void {
  if (!pretrainedClasses) {
    if (labels === undefined) return;
    throw new UsageError('--labels needs --pretrained-classes. Leave out --labels, or add --pretrained-classes.');
  }
  for (const [name, isGiven] of [
    ['--unknown', unknown !== undefined],
    ['--views', views.length > 0],
  ] as const) {
    if (isGiven) throw new UsageError(`${name} needs a head. Leave out either ${name} or --pretrained-classes.`);
  }
}

/** @param places where results go */
async function predictOnce(images: readonly string[], places: readonly string[], flags: PredictFlags): Promise<void> {
  await interruptible(async (signal) => {
    const { paths, problems, skipped } = await findPictures(images, places);
    await predictAll({ paths, total: paths.length, problems, signal }, await modelOf(flags), flags);
    for (const text of skipped.remarks) say(onOneLine(text));
    if (skipped.count > 0) {
      const such = `${skipped.count}, such as ${firstOf(skipped.examples.map(onOneLine), 3)}`;
      say(`Files skipped, as their names do not end like a picture's: ${such}`);
    }
    if (!signal.aborted) tellNext(flags);
  });
}

function tellNext({ json, jsonl, csv, pretrainedClasses, head, model }: PredictFlags): void {
  if (json || jsonl) return;
  if (csv !== undefined) sayNext(`${call('embed', csv)} takes it as a data set, once its labels are corrected.`);
  else if (!pretrainedClasses) {
    const serve = call('serve', ...option('--head', head, DEFAULT_HEAD), ...option('--model', model));
    sayNext(`${serve} classifies pictures for other programs, and on a page.`);
  }
}

/** Until Ctrl-C. The pictures under way are not given up then. */
async function watchFolders(folders: readonly string[], places: readonly string[], flags: PredictFlags): Promise<void> {
  const work = async (signal: AbortSignal) => {
    const watch = await PictureWatch.of(folders, { leaveOut: places, signal });
    const model = await modelOf(flags);
    say(`Watching ${folders.map(onOneLine).join(', ')}. Ctrl-C ends it.`);
    const onAnswer = (answer: Answer) => {
      watch.settle(answer.path, !('error' in answer));
    };
    await predictAll({ paths: watch.paths(), problems: watch.problems, onAnswer }, model, flags);
    if (watch.waiting.length > 0) say(`Not complete yet: ${firstOf(watch.waiting.map(onOneLine), 3)}`);
  };
  await interruptible(work, { notice: 'Stopping after the pictures in progress. Press Ctrl-C again to stop at once.' });
}

/** A head or the backbone's own last layer. */
interface Model {
  /** The classes, as far as they have names. */
  labels: readonly string[];
  isMultilabel: boolean;
  /** The answers come in the order of the pictures. */
  classify: (
    paths: Job['paths'],
    signal: AbortSignal | undefined,
  ) => AsyncIterable<{ image: string } & ((Prediction & { error?: undefined }) | { error: string })>;
}

async function modelOf(flags: PredictFlags): Promise<Model> {
  const { topK } = flags;
  if (!flags.pretrainedClasses) {
    const classifier = await Classifier.load(flags.head, { ...flags, onNotice: notice });
    return {
      labels: classifier.head.labels,
      isMultilabel: classifier.head.kind === 'multilabel',
      classify: (paths, signal) => classifier.classifyMany(paths, { topK, signal }),
    };
  }
  const backbone = await loadBackbone({ ...flags, onNotice: notice });
  const labels = flags.labels === undefined ? undefined : await linesOf(flags.labels);
  return {
    labels: labels ?? [],
    isMultilabel: false,
    classify: (paths, signal) => predictPretrainedClassesOfMany(backbone, paths, { topK, labels, signal }),
  };
}

async function linesOf(path: string): Promise<string[]> {
  try {
    return (await readFile(path, 'utf8')).trimEnd().split(/\r?\n/);
  } catch (error) {
    throw new LastlayerError(`The labels ${path} cannot be read: ${messageOf(error)}.`);
  }
}

/** From so many pictures on, there is progress, and a summary of what is printed picture by picture. */
const MANY = 20;
const SEVERAL = 4;

async function predictAll(job: Job, model: Model, flags: PredictFlags): Promise<void> {
  const { paths, total, problems, signal, onAnswer } = job;
  const started = Date.now();
  const folders = foldersOf(flags, model);
  const goesElsewhere = flags.csv !== undefined || folders.length > 0;
  const outputs = outputsOf(flags, model, !goesElsewhere);
  const summary = new Summary();
  const progress = new Progress('predicting', 'pictures');
  const status = new Status('watching');
  let isComplete = false;
  try {
    for await (const { image: path, ...found } of model.classify(paths, signal)) {
      const problem = problems.get(path);
      let answer: Answer =
        found.error === undefined
          ? { path, ...found }
          : { path, error: problem === undefined ? found.error : `${path} cannot be read: ${problem}.` };
      for (const each of folders) answer = await each.place(answer);
      onAnswer?.(answer);
      if (process.stdout.isTTY || 'error' in answer) progress.clear();
      for (const output of [...outputs, summary]) await output.add(answer);
      if (total === undefined) {
        if (goesElsewhere && !flags.jsonl) status.update(`${summary.count} classified`);
      } else if (total >= MANY) progress.update(summary.count, total);
    }
    isComplete = true;
  } finally {
    progress.stop();
    status.stop();
    for (const output of outputs) await output.end?.(isComplete);
    if (summary.unreadable > 0) process.exitCode = 3;
    if (signal?.reason instanceof Interrupted) say(`Pictures classified: ${summary.count} of ${total}.`);
    const isWorthTelling = summary.count >= (goesElsewhere ? 1 : SEVERAL) && !flags.json;
    if (isWorthTelling && !(signal?.reason instanceof OutputClosed)) {
      const tell = flags.jsonl ? say : print;
      tell(summary.describe(total === undefined ? undefined : (Date.now() - started) / 1000));
      for (const each of folders) tell(each.describe());
      if (flags.csv !== undefined) tell(`written to ${onOneLine(flags.csv)}`);
    }
  }
}

function foldersOf({ copyTo, linkTo }: PredictFlags, model: Model): FoldersOutput[] {
  const copies = copyTo === undefined ? undefined : new ClassFolders(copyTo, 'copy', model);
  const links = linkTo === undefined ? undefined : new ClassFolders(linkTo, 'link', model);
  const renamed = [...((copies ?? links)?.renamed ?? [])].map(([label, name]) => `${JSON.stringify(label)} in ${name}`);
  if (renamed.length > 0) notice(`Not every label can be the name of a folder: ${firstOf(renamed.map(onOneLine), 3)}.`);
  return [
    ...(copies ? [new FoldersOutput(copies, 'copied')] : []),
    ...(links ? [new FoldersOutput(links, 'linked')] : []),
  ];
}

function outputsOf(flags: PredictFlags, { isMultilabel }: Model, printsAll: boolean): Output[] {
  const outputs: Output[] = flags.csv === undefined ? [] : [new CsvOutput(flags.csv, isMultilabel)];
  if (flags.json) return [...outputs, new JsonOutput()];
  if (flags.jsonl) return [...outputs, new JsonLinesOutput()];
  const text = (answer: Answer) => {
    if (printsAll || 'error' in answer) show(answer);
  };
  return [...outputs, { add: text }];
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
