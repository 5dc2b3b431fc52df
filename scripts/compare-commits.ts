import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Option } from 'commander';
import { UsageError } from '../src/util/errors.js';
import { removeWorktree, runCli, type Side, workingTree, worktreeOf } from './compare-commits/checkout.js';
import { contentOf, firstDifference } from './compare-commits/difference.js';
import { chooseSteps, prepare, type Step, stepsOn } from './compare-commits/steps.js';
import { EXAMPLES, existingPath, run, script } from './support/script.js';

/** The exit code of a command that did all but read some pictures. */
const SOME_UNREADABLE = 3;

export const command = script(
  'compare-commits',
  'Run embed, train-head, evaluate, predict, check-data, search, export, fetch-model and quantize of two commits on the same ' +
    'data, and compare what they print and write. Embeddings, heads and models have to be equal to the bit, --json but for ' +
    'times, paths, and what the tables in scripts/compare-commits/difference.ts list as renamed, dropped or reworded. The exit ' +
    'code is 1 if something differs or fails.',
  [
    'HEAD~1',
    'main --only train-head,evaluate/multilabel',
    'v0.1.0 main --data ~/photos --weights resnet18-f37072fd.pth',
  ],
)
  .argument('[base]', 'the commit to compare with')
  .argument('[head]', 'the other commit (default: the working tree as it is)')
  .addOption(
    new Option('--data <dir>', 'pictures in train/CLASS/ and val/CLASS/')
      .argParser(existingPath)
      .default(EXAMPLES, 'the example pictures'),
  )
  .option(
    '--weights <file>',
    "a ResNet-18's checkpoint for the steps in float32 (default: one that was never trained)",
    existingPath,
  )
  .option(
    '--only <names>',
    'only these steps and those that they need: names such as train-head/one-se, or commands, with commas between',
  )
  .option('--list', 'list the steps and the commands that they run')
  .option('--keep', 'keep the folder with all that was written')
  .action(compareCommits);
await run(import.meta.url, command);

interface Options {
  data: string;
  weights?: string | undefined;
  only?: string | undefined;
  list?: true | undefined;
  keep?: true | undefined;
}

async function compareCommits(
  base: string | undefined,
  head: string | undefined,
  { data, weights, only, list, keep }: Options,
): Promise<void> {
  const stopped = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      stopped.abort();
    });
  }
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'lastlayer-compare-')));
  const sides: Side[] = [];
  try {
    const inputs = await prepare(join(folder, 'inputs'), data, weights);
    const steps = chooseSteps(stepsOn(inputs), only?.split(',') ?? []);
    if (list) {
      for (const { name, args } of steps) console.log(`${name}: ${args.join(' ')}`);
      return;
    }
    if (base === undefined) throw new UsageError('Name the commit to compare with; --help has examples.');
    const before = await worktreeOf(base, join(folder, 'base'));
    sides.push(before);
    const own = join(folder, 'head');
    const after = await (head === undefined ? workingTree(own) : worktreeOf(head, own));
    sides.push(after);
    const differing = await compare(steps, before, after, stopped.signal);
    if (stopped.signal.aborted) process.exitCode = 130;
    else if (differing > 0) process.exitCode = 1;
  } finally {
    for (const side of sides) await removeWorktree(side);
    if (keep) console.log(`What was written lies in ${folder}`);
    else await rm(folder, { recursive: true, force: true });
  }
}

/** Runs the steps, and prints a line for each comparison. @returns how many were not equal */
async function compare(steps: readonly Step[], base: Side, head: Side, signal: AbortSignal): Promise<number> {
  console.log(`${base.name} and ${head.name}\n`);
  const width = Math.max(...steps.map(({ name }) => name.length));
  const counts = { same: 0, different: 0 };
  const failed = new Set<string>();
  const start = Date.now();
  for (const step of steps) {
    const missing = step.needs.filter((need) => failed.has(need));
    const outcomes =
      missing.length > 0
        ? [{ verdict: 'SKIPPED', what: `${missing.join(', ')} failed` } as const]
        : await compareStep(step, base, head, signal);
    if (signal.aborted) return counts.different;
    for (const { verdict, what } of outcomes) {
      console.log(`${verdict.padEnd(9)}  ${step.name.padEnd(width)}  ${what}`);
      if (verdict === 'FAILED' || verdict === 'SKIPPED') failed.add(step.name);
      counts[verdict === 'same' ? 'same' : 'different']++;
    }
  }
  const seconds = ((Date.now() - start) / 1000).toFixed(0);
  console.log(`\n${counts.same} same, ${counts.different} not, in ${seconds} s`);
  return counts.different;
}

interface Outcome {
  verdict: 'same' | 'DIFFERENT' | 'FAILED' | 'SKIPPED';
  what: string;
}

/** Runs one command on both sides at the same time, and compares what it prints and writes. */
async function compareStep(step: Step, base: Side, head: Side, signal: AbortSignal): Promise<Outcome[]> {
  const [before, after] = await Promise.all([base, head].map((side) => runCli(side, step.args, signal)));
  if (!before || !after || signal.aborted) return [];
  const wrong = [
    { ...before, side: base.name },
    { ...after, side: head.name },
  ].filter(({ code }) => code !== 0 && code !== SOME_UNREADABLE);
  if (wrong.length > 0) {
    const reasons = wrong.map(
      ({ side, code, stderr }) => `${side}, exit code ${code ?? 'none'}: ${stderr.trim().replaceAll(/\s*\n\s*/g, ' ')}`,
    );
    return [{ verdict: 'FAILED', what: reasons.join('; ') }];
  }
  // The same file or folder has the same name on both sides.
  const folders = [base, head].flatMap(({ work, checkout }) => [
    [work, '<work>'] as const,
    [checkout, '<checkout>'] as const,
  ]);
  const outcome = (what: string, a: unknown, b: unknown): Outcome => {
    const difference = firstDifference(a, b, folders);
    if (!difference) return { verdict: 'same', what };
    const { field } = difference;
    const values = `${shown(difference.base)} in ${base.name}, ${shown(difference.head)} in ${head.name}`;
    return { verdict: 'DIFFERENT', what: `${what}: ${field} is ${values}` };
  };
  const outcomes = [
    outcome(
      '--json',
      { ...jsonOf(before.stdout), exitCode: before.code },
      { ...jsonOf(after.stdout), exitCode: after.code },
    ),
  ];
  for (const file of step.files) {
    outcomes.push(outcome(file, await contentOf(join(base.work, file)), await contentOf(join(head.work, file))));
  }
  return outcomes;
}

function jsonOf(stdout: string): object {
  return JSON.parse(stdout) as object;
}

/** A value on one line. */
function shown(value: unknown): string {
  if (value === undefined) return 'missing';
  const text = typeof value === 'bigint' ? `${value}` : JSON.stringify(value);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}
