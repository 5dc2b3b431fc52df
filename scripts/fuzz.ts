/**
 * Has the readers of pictures, checkpoints, networks and heads read mutants by the thousand, in a process of its own. A mutant
 * must be read or be refused with a reason. A crash, a hang, too much memory or any other error is a fault: its number is told,
 * the file is kept, and the exit code is 1. The same seed gives the same mutants.
 *
 *     npm run fuzz -- [--only pictures,pickle,…] [--seed 1] [--count 1000] [--minutes 60] [--keep FOLDER]
 *     npm run fuzz -- --only pictures --seed 1 --replay 4711     reads one mutant here, to look into a fault
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { randomOf, TARGETS } from './fuzz/targets.js';
import { watch, type Tally } from './fuzz/watch.js';

/** For one mutant; the products' own limit for a picture is 60 s. */
const SECONDS_EACH = 90;
/** MiB: somewhat more than the products' own bound for pictures that are decoded side by side. */
const MEMORY = 2000;

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(TARGETS).join() },
    seed: { type: 'string', default: '1' },
    count: { type: 'string', default: '1000' },
    minutes: { type: 'string', default: '60' },
    keep: { type: 'string', default: 'fuzz-faults' },
    replay: { type: 'string' },
  },
});
const seed = Number(values.seed);
const names = values.only.split(',');
const unknown = names.filter((name) => !Object.hasOwn(TARGETS, name));
if (unknown.length > 0) {
  process.stderr.write(`--only names ${unknown.join()}; there are ${Object.keys(TARGETS).join()}.\n`);
  process.exit(2);
}
if (values.replay !== undefined) await replay(names[0] ?? '', Number(values.replay));
else await fuzz();

async function fuzz(): Promise<void> {
  const until = Date.now() + 60_000 * Number(values.minutes);
  for (const target of names) {
    const tally = await watch({
      ...{ target, seed, count: Number(values.count), secondsEach: SECONDS_EACH, memory: MEMORY, until },
      onProgress: ({ tried, faults }) => {
        if (tried % 500 === 0) process.stderr.write(`${target}: ${tried} mutants, ${faults.length} faults\n`);
      },
    });
    describe(target, tally);
    for (const { index, what } of tally.faults) {
      const path = join(values.keep, `${target}-${seed}-${index}`);
      await mkdir(values.keep, { recursive: true });
      await writeFile(path, await mutantOf(target, index));
      process.stdout.write(`  FAULT at --seed ${seed} --replay ${index} (${path}): ${what}\n`);
      process.exitCode = 1;
    }
  }
}

function describe(target: string, { tried, read, refused, reasons, faults, seconds, peak }: Tally): void {
  process.stdout.write(
    `${target}: ${tried} mutants, ${read} read, ${refused} refused for ${reasons.size} reasons, ${faults.length} faults; ` +
      `at most ${seconds.toFixed(1)} s and ${Math.round(peak)} MiB\n`,
  );
}

async function replay(target: string, index: number): Promise<void> {
  const prepared = await TARGETS[target]?.();
  await prepared?.attempt(await mutantOf(target, index));
  process.stdout.write(`${target}: mutant ${index} was read\n`);
}

async function mutantOf(target: string, index: number): Promise<Buffer> {
  const prepared = await TARGETS[target]?.();
  return prepared?.mutant(randomOf(seed, target, index)) ?? Buffer.alloc(0);
}
