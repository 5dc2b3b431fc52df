import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomOf, TARGETS } from './fuzz/targets.js';
import { watch, type Tally } from './fuzz/watch.js';
import { count, namesOf, number, run, script, seed } from './support/script.js';

/** For one mutant. lastlayer's own limit for a picture is 60 s. */
const SECONDS_EACH = 90;
/** MiB; a little more than lastlayer's own limit for concurrent decoding. */
const MEMORY = 2000;
const NAMES = Object.keys(TARGETS);

export const command = script(
  'fuzz',
  'Let the readers of pictures, checkpoints, models and heads read mutated files, in a separate process. A mutant must be ' +
    'read, or rejected with a reason. A crash, a hang, too much memory or any other error is a fault: its number is printed, ' +
    'the file is kept, and the exit code is 1. The same seed gives the same mutants.\n\n' +
    `Targets: ${NAMES.join(', ')}.`,
  ['--count 100', '--only pictures --seed 1 --replay 4711'],
)
  .option('--only <names>', 'targets, separated by commas (default: all)', namesOf(NAMES), NAMES)
  .option('--seed <n>', 'seed of the mutants', seed, 1)
  .option('--count <n>', 'mutants of each target', count, 1000)
  .option('--minutes <n>', 'time limit for all of them together', number({ above: 0 }), 60)
  .option('--keep <folder>', 'where mutants with a fault are kept', 'fuzz-faults')
  .option('--replay <n>', 'read only this mutant, in this process, to debug a fault', number({ integer: true, min: 0 }))
  .action(fuzz);
await run(import.meta.url, command);

interface Options {
  only: string[];
  seed: number;
  count: number;
  minutes: number;
  keep: string;
  replay?: number | undefined;
}

async function fuzz({ only, seed, count, minutes, keep, replay }: Options): Promise<void> {
  if (replay !== undefined) {
    for (const name of only) {
      const { attempt, mutant } = await TARGETS[name]!();
      await attempt(mutant(randomOf(seed, name, replay)));
      console.log(`${name}: mutant ${replay} was read`);
    }
    return;
  }
  const until = Date.now() + 60_000 * minutes;
  for (const target of only) {
    const limits = { secondsEach: SECONDS_EACH, memory: MEMORY, until };
    const onProgress = ({ tried, faults }: Tally) => {
      if (tried % 500 === 0) process.stderr.write(`${target}: ${tried} mutants, ${faults.length} faults\n`);
    };
    const tally = await watch({ target, seed, count, ...limits, onProgress });
    console.log(describe(target, tally));
    for (const { index, what } of tally.faults) {
      const path = join(keep, `${target}-${seed}-${index}`);
      const { mutant } = await TARGETS[target]!();
      await mkdir(keep, { recursive: true });
      await writeFile(path, mutant(randomOf(seed, target, index)));
      console.log(`  FAULT at --seed ${seed} --replay ${index} (${path}): ${what}`);
      process.exitCode = 1;
    }
  }
}

function describe(target: string, { tried, read, refused, reasons, faults, seconds, peak }: Tally): string {
  return (
    `${target}: ${tried} mutants, ${read} read, ${refused} refused for ${reasons.size} reasons, ${faults.length} faults; ` +
    `at most ${seconds.toFixed(1)} s and ${Math.round(peak)} MiB`
  );
}
