/**
 * Brings faults about while the real command line is at work, and checks that nothing is lost, torn or left to pile up.
 *
 *     node --import tsx scripts/faults.ts [DATASET] [--seed N] [--rounds N] [--only NAME,…] [--model FILE]
 *
 * DATASET (default: the example pictures) is copied, not changed. `--rounds` is the number of kills, or repetitions, of each
 * scenario. The same seed draws the same moments, though a machine is never at the same place twice.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Random } from './examples/random.js';
import { NotHere } from './faults/scenario.js';
import { SCENARIOS } from './faults/scenarios.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '10' },
    only: { type: 'string', default: Object.keys(SCENARIOS).join(',') },
    model: { type: 'string' },
  },
});
const folder = await mkdtemp(join(tmpdir(), 'lastlayer-faults-'));
const table: Record<string, { faults?: number; result: string }> = {};
try {
  for (const [i, name] of values.only.split(',').entries()) {
    const scenario = SCENARIOS[name];
    if (!scenario) throw new Error(`${name} is no scenario; there are ${Object.keys(SCENARIOS).join(', ')}.`);
    const own = join(folder, `${i}`);
    await mkdir(own);
    try {
      const { faults, seen } = await scenario({
        folder: own,
        dataset: resolve(positionals[0] ?? 'test/fixtures/examples'),
        ...(values.model && { model: resolve(values.model) }),
        rounds: Number(values.rounds),
        random: new Random(Number(values.seed)),
        onProgress: (line) => process.stderr.write(`${name}: ${line}\n`),
      });
      table[name] = { faults, result: seen };
      await rm(own, { recursive: true, force: true });
    } catch (error) {
      table[name] = {
        result: error instanceof NotHere ? `skipped: ${error.message}` : `FAILED: ${String(error)}`,
      };
      if (!(error instanceof NotHere)) process.exitCode = 1;
      if (!(error instanceof NotHere)) console.error(error);
    }
    console.log(`${name}: ${JSON.stringify(table[name])}`);
  }
} finally {
  if (process.exitCode === 1) console.log(`What is left of the failure lies in ${folder}`);
  else await rm(folder, { recursive: true, force: true });
}
