import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { untrainedCheckpoint } from '../support/untrained.js';
import { resNet } from '../../src/backbone/resnet.js';
import { encodeSafetensors } from '../../src/formats/safetensors.js';
import { messageOf, UsageError } from '../../src/util/errors.js';

/** One command that both sides run. */
export interface Step {
  /** The command and, after a slash, what is special about it. */
  name: string;
  args: string[];
  /** Files that it writes and that are compared, relative to the working directory. */
  files: string[];
  /** Names of the steps that have to run before. */
  needs: string[];
}

/** What the steps read; the same files for both sides. */
export interface Inputs {
  /** The data set: train|val folders of class folders. */
  data: string;
  /** Its training pictures alone, a data set without a validation split. */
  train: string;
  /** Manifests of the same pictures. */
  multilabel: string;
  weighted: string;
  /** A few pictures of the validation split. */
  pictures: [string, ...string[]];
  /** A ResNet-18's checkpoint in float32. */
  weights: string;
  /** For --memory: so little that the embeddings are read in blocks. */
  memory: string;
}

/** Writes what the steps read, and is not there yet, into `folder`. */
export async function prepare(folder: string, data: string, weights?: string): Promise<Inputs> {
  await mkdir(folder, { recursive: true });
  const pictures = await picturesOf(data);
  const train = pictures.filter(({ split }) => split === 'train');
  const first = pictures.filter(({ split }) => split === 'val').map(({ path }) => path);
  const [shown, ...more] = first;
  if (train.length === 0 || shown === undefined) {
    throw new UsageError(`${data} has no pictures in train/CLASS/ and val/CLASS/. Pass a folder that does.`);
  }
  return {
    data,
    train: join(data, 'train'),
    multilabel: await writeCsv(join(folder, 'multilabel.csv'), multilabelRows(pictures)),
    weighted: await writeCsv(join(folder, 'weighted.csv'), weightedRows(pictures)),
    pictures: [shown, ...more.slice(-4)],
    weights: weights ?? (await writeUntrained(join(folder, 'resnet18-untrained.safetensors'))),
    // Two bytes a value, where the embeddings take four and as much again for a copy.
    memory: ((train.length * 512 * 2) / 2 ** 30).toFixed(9),
  };
}

/** All that is run, in an order in which each step finds what it needs. */
export function stepsOn({ data, train, multilabel, weighted, pictures, weights, memory }: Inputs): Step[] {
  const fp32 = ['--model', 'models/fp32.onnx'];
  const one = ['--threads', '1'];
  const inOrder = ['--concurrency', '1'];
  const step = (name: string, needs: string[], args: string[], files: string[] = []): Step => ({
    name,
    args: [name.split('/')[0] ?? name, ...args, '--json'],
    files,
    needs,
  });
  const embed = (kind: string, dataset: string, flags: string[] = [], needs: string[] = []) =>
    step(`embed/${kind}`, needs, [dataset, '--store', `store-${kind.split('-')[0] ?? kind}`, ...one, ...flags]);
  const head = (kind: string) => `heads/${kind}.safetensors`;
  const trainHead = (kind: string, flags: string[] = [], [store, dataset, need] = ['store-int8', data, 'embed/int8']) =>
    step(
      `train-head/${kind}`,
      [need],
      ['--store', store, '--dataset', dataset, '--out', head(kind), ...flags],
      [head(kind)],
    );
  const onTrain: [string, string, string] = ['store-int8', train, 'embed/int8-train'];
  const onLists: [string, string, string] = ['store-int8', multilabel, 'embed/int8-multilabel'];
  const onWeighted: [string, string, string] = ['store-int8', weighted, 'embed/int8-weighted'];
  const evaluate = (kind: string, dataset: string, trained: string, flags: string[] = [], store = 'store-int8') =>
    step(
      `evaluate/${kind}`,
      [`train-head/${trained}`],
      [dataset, '--head', head(trained), '--store', store, ...one, ...flags],
    );
  const predict = (kind: string, trained: string, flags: string[] = []) =>
    step(`predict/${kind}`, [`train-head/${trained}`], [...pictures, '--head', head(trained), ...one, ...flags]);
  const exported = (kind: string, file: string, need: string, flags: string[], more: string[] = []) =>
    step(
      `export/${kind}`,
      [need],
      ['--out', `exports/${file}`, ...flags],
      [file, ...more].map((name) => `exports/${name}`),
    );
  const table = (kind: string, format: string, [store, dataset, need]: [string, string, string]) =>
    exported(
      kind,
      `${kind}.${format}`,
      need,
      ['--format', format, '--store', store, '--dataset', dataset],
      format === 'npy' ? [`${kind}.csv`] : [],
    );
  const onnx = (kind: string, trained: string, flags: string[]) =>
    exported(kind, `${kind}.onnx`, `train-head/${trained}`, [
      ...['--head', head(trained), '--check', data, '--pictures', '4', ...flags],
    ]);

  return [
    step('fetch-model', [], ['--from', weights, '--out', 'models/fp32.onnx'], filesOf('fp32')),
    step('inspect/fp32', ['fetch-model'], fp32),
    step(
      'quantize',
      ['fetch-model'],
      [...fp32, '--calibrate', data, '--pictures', '16', '--out', 'models/fp32.int8.onnx', ...one],
      filesOf('fp32.int8'),
    ),

    embed('fp32', data, [...fp32, '--views', 'flip'], ['fetch-model']),
    embed('quantized', data, [...fp32, '--precision', 'int8', '--split', 'val'], ['quantize']),
    embed('int8', data, ['--views', 'flip']),
    embed('int8-again', data, [], ['embed/int8']),
    // Training in blocks adds up in the order in which the pictures came into the store, and in the blocks that were written
    // every two seconds. So it is done on these, which are known by content and so are written at once.
    embed('int8-train', train, [...inOrder, '--views', 'flip'], ['embed/int8']),
    embed('int8-multilabel', multilabel, [...inOrder, '--views', 'flip'], ['embed/int8']),
    embed('int8-weighted', weighted, inOrder, ['embed/int8']),
    table('npy-fp32', 'npy', ['store-fp32', data, 'embed/fp32']),
    table('npy-quantized', 'npy', ['store-quantized', data, 'embed/quantized']),
    table('npy-int8', 'npy', ['store-int8', data, 'embed/int8']),
    table('parquet', 'parquet', ['store-int8', data, 'embed/int8']),
    table('json-multilabel', 'json', onLists),
    table('parquet-multilabel', 'parquet', onLists),

    trainHead('softmax'),
    trainHead('softmax-fp32', [], ['store-fp32', data, 'embed/fp32']),
    trainHead('no-views', ['--views', 'none']),
    trainHead('class-weights', ['--class-weights', 'balanced', '--label-smoothing', '0.1']),
    trainHead('one-se', ['--l2-rule', 'one-se']),
    trainHead('fixed-l2', ['--l2', '0.01', '--folds', '0']),
    trainHead('learning-curve', ['--learning-curve']),
    trainHead('cross-validated', [], onTrain),
    trainHead('in-blocks', ['--memory', memory], onTrain),
    trainHead('hold-out', ['--hold-out', '0.25'], onTrain),
    trainHead('weighted', [], onWeighted),
    trainHead('weighted-in-blocks', ['--memory', memory, '--class-weights', 'balanced'], onWeighted),
    trainHead('multilabel', [], onLists),
    trainHead('multilabel-in-blocks', ['--memory', memory], onLists),
    trainHead('multilabel-one-se', ['--l2-rule', 'one-se'], onLists),
    trainHead('multilabel-learning-curve', ['--learning-curve'], onLists),

    evaluate('softmax', data, 'softmax'),
    evaluate('softmax-fp32', data, 'softmax-fp32', fp32, 'store-fp32'),
    evaluate('train-split', data, 'softmax', ['--split', 'train', '--top-k', '2']),
    evaluate('flipped', data, 'softmax', ['--views', 'flip']),
    evaluate('multilabel', multilabel, 'multilabel'),

    predict('softmax', 'softmax'),
    predict('flipped', 'softmax', ['--views', 'flip', '--top-k', '1']),
    predict('softmax-fp32', 'softmax-fp32', fp32),
    predict('multilabel', 'multilabel'),

    step('check-data', ['embed/int8'], ['--store', 'store-int8', '--dataset', data]),
    step('check-data/fp32', ['embed/fp32'], ['--store', 'store-fp32', '--dataset', data]),
    step('check-data/multilabel', ['embed/int8-multilabel'], ['--store', 'store-int8', '--dataset', multilabel]),

    step('search', ['embed/int8'], [pictures[0], '--store', 'store-int8', '--dataset', data, '--exact', ...one]),
    step(
      'search/fp32',
      ['embed/fp32'],
      [pictures[0], '--store', 'store-fp32', '--dataset', data, ...fp32, '--top-k', '3', ...one],
    ),

    onnx('onnx', 'softmax', []),
    onnx('onnx-pixels', 'softmax', ['--input', 'pixels']),
    onnx('onnx-tensor-fp32', 'softmax-fp32', [...fp32, '--input', 'tensor']),
    onnx('onnx-multilabel', 'multilabel', []),
    exported('safetensors', 'fc.safetensors', 'train-head/softmax', [
      ...['--format', 'safetensors', '--head', head('softmax')],
    ]),
    exported('safetensors-calibrated', 'calibrated.safetensors', 'train-head/softmax-fp32', [
      ...['--format', 'safetensors', '--head', head('softmax-fp32'), '--calibrated'],
    ]),
  ];
}

/**
 * The steps that `only` names, each by its name or its command (all of the command's), and those that they need.
 * @throws {UsageError} where a name is unknown
 */
export function chooseSteps(steps: readonly Step[], only: readonly string[]): Step[] {
  const chosen = new Set<string>();
  const add = (name: string) => {
    chosen.add(name);
    for (const need of steps.find((step) => step.name === name)?.needs ?? []) add(need);
  };
  for (const wanted of only) {
    const named = steps.filter(({ name }) => name === wanted || name.startsWith(`${wanted}/`));
    if (named.length === 0) {
      throw new UsageError(`There is no step ${wanted}. There are: ${steps.map(({ name }) => name).join(', ')}.`);
    }
    for (const { name } of named) add(name);
  }
  return steps.filter(({ name }) => only.length === 0 || chosen.has(name));
}

/** A model and its card. */
function filesOf(model: string): string[] {
  return [`models/${model}.onnx`, `models/${model}.json`];
}

interface Picture {
  path: string;
  label: string;
  split: string;
  bytes: number;
}

/** The pictures in SPLIT/CLASS/ of a folder, sorted by path. */
async function picturesOf(data: string): Promise<Picture[]> {
  const files = await readdir(data, { recursive: true }).catch((error: unknown) => {
    throw new UsageError(`--data cannot be read: ${messageOf(error)}`);
  });
  const found: Picture[] = [];
  for (const file of files.sort()) {
    const [split = '', label = '', name, ...deeper] = file.split(sep);
    if (name === undefined || deeper.length > 0 || name.startsWith('.')) continue;
    const path = join(data, file);
    const { size } = await stat(path);
    found.push({ path, label, split, bytes: size });
  }
  return found;
}

/** The class, and whether the file is large; a picture in seven shows nothing. */
function multilabelRows(pictures: readonly Picture[]): Record<string, string>[] {
  const sizes = pictures.map(({ bytes }) => bytes).sort((a, b) => a - b);
  const median = sizes[Math.floor(sizes.length / 2)] ?? 0;
  return pictures.map(({ path, label, split, bytes }, i) => ({
    path,
    labels: i % 7 === 3 ? '' : bytes > median ? `${label};large` : label,
    split,
  }));
}

/** Weights from 0.5 to 2, and groups of two. */
function weightedRows(pictures: readonly Picture[]): Record<string, string>[] {
  return pictures.map(({ path, label, split }, i) => ({
    path,
    label,
    split,
    weight: `${0.5 + (i % 4) * 0.5}`,
    group: `${split} ${label} ${Math.floor(i / 2)}`,
  }));
}

async function writeCsv(file: string, rows: readonly Record<string, string>[]): Promise<string> {
  const quoted = (cells: string[]) => cells.map((cell) => `"${cell.replaceAll('"', '""')}"`).join();
  const lines = [Object.keys(rows[0] ?? {}), ...rows.map((row) => Object.values(row))].map(quoted);
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}

/** A checkpoint that was never trained, where there is no other one in float32. */
async function writeUntrained(file: string): Promise<string> {
  const checkpoint = untrainedCheckpoint(resNet({ block: 'basic', blocks: [2, 2, 2, 2] }));
  await writeFile(file, encodeSafetensors(checkpoint));
  return file;
}
