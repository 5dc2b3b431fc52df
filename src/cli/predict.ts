import { readFile } from 'node:fs/promises';
import { loadBackbone } from '../backbone/load.js';
import { ClassFolders } from '../classify/class-folders.js';
import { Classifier, predictPretrainedClassesOfMany } from '../classify/classifier.js';
import { passedOver } from '../data/dataset.js';
import { findPictures, PictureWatch } from '../data/pictures.js';
import type { UnknownRate } from '../head/unknown.js';
import type { ViewSet } from '../image/views.js';
import { DEFAULT_HEAD } from '../util/defaults.js';
import { LastlayerError, messageOf, UsageError } from '../util/errors.js';
import { firstOf, percent } from '../util/format.js';
import type { ModelFlags } from './options.js';
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
import { ExplainedOutput } from './predict-explained.js';
import { call, option, sayNext } from './next.js';
import { noticeRenamed } from './placed.js';
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
  explain?: string | undefined;
  explainScale?: number | undefined;
  watch?: true | undefined;
  json?: true | undefined;
}

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

export async function run(images: string[], flags: PredictFlags): Promise<void> {
  checkFlags(flags);
  const explained =
    flags.explain === undefined ? undefined : await ExplainedOutput.at(flags.explain, flags.explainScale);
  const explainedIn = explained?.isFile ? undefined : flags.explain;
  const places = [flags.copyTo, flags.linkTo, explainedIn].filter((folder) => folder !== undefined);
  if (flags.watch) await watchFolders(images, places, flags, explained);
  else await predictOnce(images, places, flags, explained);
}

/** @throws {UsageError} if options do not go together */
function checkFlags({ pretrainedClasses, labels, unknown, views = [], ...flags }: PredictFlags): void {
  const { explain, explainScale, watch } = flags;
  if (explainScale !== undefined && explain === undefined) {
    throw new UsageError('--explain-scale needs --explain, which says where the pictures go.');
  }
  if (watch && explain !== undefined && explainScale === undefined) {
    throw new UsageError(
      '--watch with --explain needs --explain-scale, as pictures that come later may need another scale. Without --watch, ' +
        '--explain tells the scale of the pictures that are there.',
    );
  }
  if (!pretrainedClasses) {
    if (labels === undefined) return;
    throw new UsageError('--labels needs --pretrained-classes. Leave out --labels, or add --pretrained-classes.');
  }
  for (const [name, isGiven] of [
    ['--unknown', unknown !== undefined],
    ['--views', views.length > 0],
    ['--explain', explain !== undefined],
  ] as const) {
    if (isGiven) throw new UsageError(`${name} needs a head. Leave out either ${name} or --pretrained-classes.`);
  }
}

/** @param places where results go */
async function predictOnce(
  images: readonly string[],
  places: readonly string[],
  flags: PredictFlags,
  explained: ExplainedOutput | undefined,
): Promise<void> {
  await interruptible(async (signal) => {
    const { paths, problems, skipped } = await findPictures(images, places);
    explained?.check(paths.length);
    const { count, unreadable } = await predictAll(
      { paths, total: paths.length, problems, signal },
      await modelOf(flags, explained),
      flags,
      explained,
    );
    for (const text of skipped.remarks) say(onOneLine(text));
    if (skipped.count > 0) say(passedOver(skipped, onOneLine));
    if (!signal.aborted && unreadable < count) tellNext(flags);
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
async function watchFolders(
  folders: readonly string[],
  places: readonly string[],
  flags: PredictFlags,
  explained: ExplainedOutput | undefined,
): Promise<void> {
  if (explained?.isFile) throw new UsageError(`--watch needs a folder for --explain; ${flags.explain} is one file.`);
  const work = async (signal: AbortSignal) => {
    const watch = await PictureWatch.of(folders, { leaveOut: places, signal });
    const model = await modelOf(flags, explained);
    say(`Watching ${folders.map(onOneLine).join(', ')}. Ctrl-C ends it.`);
    const onAnswer = (answer: Answer) => {
      watch.settle(answer.path, !('error' in answer));
    };
    await predictAll({ paths: watch.paths(), problems: watch.problems, onAnswer }, model, flags, explained);
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
  ) => AsyncIterable<
    { image: string; png?: Buffer | undefined } & ((Prediction & { error?: undefined }) | { error: string })
  >;
}

async function modelOf(flags: PredictFlags, explained: ExplainedOutput | undefined): Promise<Model> {
  const { topK } = flags;
  if (!flags.pretrainedClasses) {
    const classifier = await Classifier.load(flags.head, { ...flags, onNotice: notice });
    return {
      labels: classifier.head.labels,
      isMultilabel: classifier.head.kind === 'multilabel',
      classify: (paths, signal) =>
        explained
          ? explained.explain(classifier, paths, { topK, signal })
          : classifier.classifyMany(paths, { topK, signal }),
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

async function predictAll(
  job: Job,
  model: Model,
  flags: PredictFlags,
  explained: ExplainedOutput | undefined,
): Promise<Summary> {
  const { paths, total, problems, signal, onAnswer } = job;
  const started = Date.now();
  const folders = foldersOf(flags, model);
  const goesElsewhere = flags.csv !== undefined || folders.length > 0 || explained?.isFile === false;
  const outputs = outputsOf(flags, model, !goesElsewhere);
  const summary = new Summary();
  const progress = new Progress('predicting', 'pictures');
  const status = new Status('watching');
  let isComplete = false;
  try {
    for await (const { image: path, png, ...found } of model.classify(paths, signal)) {
      const problem = problems.get(path);
      let answer: Answer =
        found.error === undefined
          ? { path, ...found }
          : { path, error: problem === undefined ? found.error : `${path} cannot be read: ${problem}.` };
      for (const each of folders) answer = await each.place(answer);
      if (explained && png) answer = await explained.place(answer, png);
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
    if (explained?.isFile && isComplete && summary.unreadable === 0) say(explained.describe());
    const isWorthTelling = summary.count >= (goesElsewhere ? 1 : SEVERAL) && !flags.json;
    if (isWorthTelling && !(signal?.reason instanceof OutputClosed)) {
      const tell = flags.jsonl ? say : print;
      tell(summary.describe(total === undefined ? undefined : (Date.now() - started) / 1000));
      for (const each of folders) tell(each.describe());
      if (explained && !explained.isFile) tell(explained.describe());
      if (flags.csv !== undefined) tell(`written to ${onOneLine(flags.csv)}`);
    }
  }
  return summary;
}

function foldersOf({ copyTo, linkTo }: PredictFlags, model: Model): FoldersOutput[] {
  const copies = copyTo === undefined ? undefined : new ClassFolders(copyTo, 'copy', model);
  const links = linkTo === undefined ? undefined : new ClassFolders(linkTo, 'link', model);
  const either = copies ?? links;
  if (either) noticeRenamed(either.renamed);
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
