import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { removeWorktree, type Side, workingTree, worktreeOf } from './compare-commits/checkout.js';
import { count, EXAMPLES, ROOT, run, script } from './support/script.js';
import { median } from './support/statistics.js';

export const command = script(
  'bench-startup',
  "Measure how long the built package takes to start, as a multiple of node's own start: to import it, to show a help text, and to " +
    'predict one picture. Builds the working tree and, with --base, another commit. All take turns, and every run has a process of ' +
    'its own.',
  ['', '--base HEAD~1 --rounds 20'],
)
  .option('--base <commit>', 'the commit to compare with')
  .option('--rounds <n>', 'how often each runs', count, 10)
  .action(benchStartup);
await run(import.meta.url, command);

interface Measured {
  what: string;
  args: string[];
  /** Of each round, in ms. */
  elapsed: number[];
  processor: number[];
}

async function benchStartup({ base, rounds }: { base?: string | undefined; rounds: number }): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'lastlayer-bench-startup-'));
  const sides: Side[] = [];
  try {
    if (base !== undefined) sides.push(await worktreeOf(base, join(folder, 'base')));
    sides.push(await workingTree(join(folder, 'work')));
    for (const { checkout } of sides) {
      execFileSync(process.execPath, ['--import', 'tsx', 'scripts/build.ts'], { cwd: checkout });
    }
    const head = await trainHead(folder);
    const node: Measured = { what: 'node -e 0', args: ['-e', '0'], elapsed: [], processor: [] };
    const measured = [node];
    for (const side of sides) measured.push(...(await startsOf(side, head)));
    for (let round = 0; round < rounds; round++) for (const each of measured) await measure(each, folder);
    for (const { what, elapsed, processor } of measured) {
      const ratio = (of: (each: Measured) => number[]) =>
        median(of({ ...node, what, elapsed, processor })) / median(of(node));
      console.log(
        `${what}: ${ratio((each) => each.elapsed).toFixed(2)} × the time, ` +
          `${ratio((each) => each.processor).toFixed(2)} × the processor time`,
      );
    }
  } finally {
    for (const side of sides) await removeWorktree(side);
    await rm(folder, { recursive: true, force: true });
  }
}

/** A head of the bundled backbone. */
async function trainHead(folder: string): Promise<string> {
  const head = join(folder, 'head.safetensors');
  const { train } = (await import(
    pathToFileURL(join(ROOT, 'dist', 'index.js')).href
  )) as typeof import('../src/index.js');
  await train(EXAMPLES, { store: join(folder, 'store'), out: head });
  return head;
}

async function startsOf({ name, checkout }: Side, head: string): Promise<Measured[]> {
  const { bin } = JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8')) as { bin: { lastlayer: string } };
  const cli = join(checkout, bin.lastlayer);
  const imports = `import ${JSON.stringify(pathToFileURL(join(checkout, 'dist', 'index.js')).href)}`;
  const picture = join(EXAMPLES, 'val', 'fish', 'fish-01.jpg');
  return Object.entries({
    "import 'lastlayer'": ['--input-type=module', '--eval', imports],
    'predict --help': [cli, 'predict', '--help'],
    'predict, one picture': [cli, 'predict', picture, '--head', head],
  }).map(([what, args]) => ({ what: `${name}, ${what}`, args, elapsed: [], processor: [] }));
}

async function measure({ args, elapsed, processor }: Measured, folder: string): Promise<void> {
  const hook = fileURLToPath(new URL('bench/processor-time.cjs', import.meta.url));
  const file = join(folder, 'processor-time');
  const start = performance.now();
  execFileSync(process.execPath, ['--require', hook, ...args], {
    env: { ...process.env, NODE_OPTIONS: '', PROCESSOR_TIME: file },
    stdio: 'ignore',
  });
  elapsed.push(performance.now() - start);
  processor.push(Number(await readFile(file, 'utf8')) / 1000);
}
