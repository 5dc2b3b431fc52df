import { type Command, Option } from 'commander';
import { nameOf } from '../check/finding.js';
import {
  type ChangedPicture,
  compareClassifiers,
  type ComparedPrediction,
  type Comparison,
  loadCompared,
  verdictOf,
  CHANGES,
  figuresOf,
} from '../classify/compare.js';
import type { Split } from '../data/dataset.js';
import { DEFAULT_STORE } from '../store/store.js';
import { percent, quantity } from '../util/format.js';
import { call, option, sayNext } from './next.js';
import {
  deviceOption,
  jsonOption,
  type ModelFlags,
  splitOption,
  storeOption,
  threadsOption,
  wholeNumber,
} from './options.js';
import { interruptible, Progress } from './progress.js';
import { notice, onOneLine, print, printJson, say, styled, table } from './terminal.js';

interface CompareFlags extends Omit<ModelFlags, 'model'> {
  store: string;
  split?: Split | undefined;
  show: number;
  json?: true | undefined;
}

export const compareCommand = (command: Command): Command =>
  command
    .argument('<a>', 'file of a head, such as the earlier one')
    .argument('<b>', 'file of the head to compare it with')
    .argument('[dataset]', 'as for embed (default: the one in the store that was embedded last for the heads)')
    .addOption(storeOption())
    .addOption(splitOption('the split to compare on (default: val, else test, else everything)'))
    .addOption(
      new Option('--show <n>', 'changed pictures of each kind to list; --json has all')
        .argParser(wholeNumber)
        .default(10),
    )
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Tells whether B is better than A: did other labels, other features or more pictures help? Both heads classify the same pictures,
by the labels that the data set gives them now. Pictures that either head was trained on are left out, even where they lie in
another folder or split, and so are those of classes that only one of them knows. The heads may be of different backbones.

McNemar's exact test looks at the pictures that just one of the two gets right. The 95 % intervals of the differences are by a
paired bootstrap, the same each time.

Heads that were trained on all pictures leave none to compare on. Train them with --hold-out 0.2, which holds out the same
pictures each time, or name other pictures.

Embeddings that are in the store are reused. Nothing is written to it.

Exit code 3: done, but some pictures could not be read.

Examples:
  npm run compare -- before.safetensors after.safetensors
  npm run compare -- before.safetensors after.safetensors ~/photos --split test
  npm run compare -- resnet18.safetensors resnet50.safetensors new-photos --json`,
    )
    .action(run);

async function run(a: string, b: string, dataset: string | undefined, flags: CompareFlags): Promise<void> {
  const classifiers = await loadCompared(a, b, { ...flags, onNotice: notice });
  const progress = new Progress('comparing', 'pictures');
  const result = await interruptible(
    (signal) =>
      compareClassifiers(classifiers, {
        dataset,
        store: flags.store,
        split: flags.split,
        signal,
        onNotice: notice,
        onProgress: ({ done, total }) => {
          progress.update(done, total);
        },
      }),
    { displays: [progress] },
  );
  if (result.failed.length > 0) process.exitCode = 3;
  if (flags.json) {
    const { failed: errors, split = null, ...rest } = result;
    printJson({ verdict: verdictOf(result).verdict, split, ...rest, errors });
  } else {
    print(describe(result, flags.show));
    for (const { path, error } of result.failed) say(`unreadable: ${onOneLine(path)}: ${onOneLine(error)}`);
    sayNext(
      `${call('report', '--head', b, '--compare', a, ...option('--store', flags.store, DEFAULT_STORE))} shows the pictures that changed.`,
    );
  }
}

function describe(result: Comparison, show: number): string {
  const { a, b, dataset, split, count, unknown, unlabelled, kind } = result;
  const { verdict, text } = verdictOf(result);
  const heads = [['A', a] as const, ['B', b] as const];
  const lines = [
    styled(COLOURS[verdict], text),
    '',
    `${dataset}${split ? `, split ${split}` : ''}: ${quantity(count, 'picture')} that neither head was trained on`,
    ...heads.map(([name, head]) => `  ${name}: ${head.name}, on ${head.modelId}`),
    table(figuresOf(result, percent).map(([name = '', ...cells]) => [`  ${name}`, ...cells])),
  ];
  for (const [change, what] of CHANGES) {
    const found = result.changed.filter((picture) => picture.change === change);
    if (found.length === 0) continue;
    lines.push(
      '',
      `${what} (${found.length})`,
      ...found.slice(0, show).map((picture) => describeChange(picture, dataset)),
    );
    if (found.length > show) lines.push(`  … and ${found.length - show} more; --json has all`);
  }
  if (unknown.length > 0) {
    const counts = unknown.map(({ label, count: n }) => `${label} ${n}`).join(', ');
    lines.push(
      '',
      `not compared, ${kind === 'softmax' ? 'classes' : 'labels'} that one of the heads does not know: ${counts}`,
    );
  }
  if (unlabelled > 0) lines.push('', `not compared, pictures without a label: ${unlabelled}`);
  return lines.join('\n');
}

const COLOURS = { better: 'green', worse: 'red', unclear: 'yellow', equal: 'yellow' } as const;

function describeChange({ path, labels, a, b }: ChangedPicture, dataset: string): string {
  return `  ${onOneLine(nameOf(dataset, path))}: ${named(labels)}; A ${predicted(a)}, B ${predicted(b)}`;
}

function predicted({ labels, certainty }: ComparedPrediction): string {
  return `${named(labels)} ${percent(certainty)}`;
}

function named(labels: readonly string[]): string {
  return labels.length === 0 ? '(none)' : labels.map(onOneLine).join(' + ');
}
