import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type TrainedHead, trainFromStore, trainingJson, type TrainOptions } from '../classify/train.js';
import type { ClassWeights } from '../head/examples.js';
import { saveHead } from '../head/file.js';
import { DEFAULT_HEAD, DEFAULT_STORE } from '../util/defaults.js';
import { messageOf, UsageError } from '../util/errors.js';
import { isObject } from '../util/json.js';
import { describeTraining } from './describe.js';
import { call, option, sayNext } from './next.js';
import { FitProgress, interruptible } from './progress.js';
import { notice, print, printJson } from './terminal.js';

interface TrainFlags extends Omit<TrainOptions, 'classWeights'> {
  classWeights: string;
  out: string;
  json?: true | undefined;
}

export async function run({ json, out, ...flags }: TrainFlags): Promise<void> {
  const classWeights = await readClassWeights(flags.classWeights);
  const progress = new FitProgress();
  const trained = await interruptible(
    (signal) =>
      trainFromStore({
        ...flags,
        classWeights,
        signal,
        onNotice: notice,
        onFit: (state) => {
          progress.fit(state);
        },
        onIteration: (state) => {
          progress.iteration(state);
        },
      }),
    { displays: [progress] },
  );
  const path = resolve(out);
  await saveHead(path, trained.head);
  if (json) printJson(toJson(trained, path));
  else {
    print(describeTraining(trained));
    print(`\nWrote the head to ${path}`);
    const head = option('--head', out, DEFAULT_HEAD);
    const { store, dataset } = flags;
    const data = [...option('--store', store, DEFAULT_STORE), ...option('--dataset', dataset)];
    const [predict, report] = [call('predict', ...head, 'PICTURES'), call('report', ...head, ...data)];
    sayNext(`${predict} classifies pictures, and ${report} shows where the head fails.`);
  }
}

/**
 * Parses --class-weights: `none`, `balanced`, JSON such as {"ants": 2}, or the path of a file with such JSON.
 * @throws {UsageError} if it is none of these
 */
async function readClassWeights(given: string): Promise<ClassWeights> {
  if (given === 'none' || given === 'balanced') return given;
  const isInline = given.trimStart().startsWith('{');
  const text = isInline ? given : await textOf(given);
  const where = isInline ? '--class-weights' : given;
  const advice = 'Write for example {"ants": 2, "bees": 1}.';
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${where} is not valid JSON: ${messageOf(error)}. ${advice}`);
  }
  if (isWeights(value)) return value;
  throw new UsageError(`${where} is ${JSON.stringify(value)}. ${advice}`);
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new UsageError(
      `--class-weights is ${path}. It must be none, balanced, JSON or a readable file (${messageOf(error)}).`,
    );
  }
}

function isWeights(value: unknown): value is Record<string, number> {
  return isObject(value) && Object.values(value).every((weight) => typeof weight === 'number');
}

function toJson(trained: TrainedHead, path: string) {
  const { head, dataset, views, unused } = trained;
  const { kind, labels, modelId, transformId, l2, thresholds, temperature, unknown, counts, training } = head;
  return {
    head: path,
    dataset: dataset.dataset,
    kind,
    labels,
    modelId,
    transformId,
    l2,
    thresholds,
    temperature,
    unknownRate: unknown?.rate ?? null,
    counts,
    training,
    views,
    ...trainingJson(trained),
    unused,
  };
}
