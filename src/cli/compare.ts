import {
  type ChangedPicture,
  CHANGES,
  compareClassifiers,
  type ComparedPrediction,
  type Comparison,
  figuresOf,
  loadCompared,
  verdictOf,
} from '../classify/compare.js';
import type { Split } from '../data/dataset.js';
import { DEFAULT_STORE } from '../util/defaults.js';
import { nameOf } from '../util/file-names.js';
import { percent, quantity } from '../util/format.js';
import { call, option, sayNext } from './next.js';
import type { ModelFlags } from './options.js';
import { interruptible, Progress } from './progress.js';
import { notice, onOneLine, print, printJson, say, styled, table } from './terminal.js';

interface CompareFlags extends Omit<ModelFlags, 'model'> {
  store: string;
  split?: Split | undefined;
  show: number;
  json?: true | undefined;
}

export async function run(a: string, b: string, dataset: string | undefined, flags: CompareFlags): Promise<void> {
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
