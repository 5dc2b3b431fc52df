import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { watch } from '../scripts/fuzz/watch.js';
import { ROOT, temporaryFolder } from './support/files.js';

const keep = await temporaryFolder();

/** Fuzzes with the developers' own script: see docs/reliability.md for longer runs. */
function fuzz(count: number): { status: number | null; lines: string[] } {
  const tsx = `file://${join(ROOT, 'node_modules', 'tsx', 'dist', 'loader.mjs')}`;
  const script = join(ROOT, 'scripts', 'fuzz.ts');
  const options = ['--count', String(count), '--seed', '1', '--keep', keep];
  const { status, stdout } = spawnSync(process.execPath, ['--import', tsx, script, ...options], {
    cwd: ROOT,
    env: { ...process.env, NODE_OPTIONS: '' },
    encoding: 'utf8',
    timeout: 110_000,
  });
  return { status, lines: stdout.trim().split('\n') };
}

describe('mutants', () => {
  it('of every kind are read or refused with a reason', () => {
    const { status, lines } = fuzz(40);
    const kinds = ['pictures', 'pickle', 'zip', 'safetensors', 'onnx', 'head'];
    const clean = kinds.map((kind) => new RegExp(`^${kind}: 40 mutants, .* [1-9]\\d* refused .* 0 faults;`));
    expect(lines).toEqual(clean.map((line) => expect.stringMatching(line) as string));
    expect(status).toBe(0);
  });
});

describe('the fuzzer', () => {
  it('tells of each mutant at which its process dies, hangs, grows or throws, and goes on with the next', async () => {
    const program = join(keep, 'program.mjs');
    await writeFile(
      program,
      `const [, , , , start, end] = process.argv;
      process.send('ready');
      for (let index = Number(start); index < Number(end); index++) {
        if (index === 1) process.abort();
        if (index === 3) await new Promise((resolve) => setTimeout(resolve, 60_000));
        const [result, message] = index === 5 ? ['fault', 'TypeError: x'] : ['read', ''];
        process.send({ index, result, message, peak: index === 6 ? 999 : 10 });
        await new Promise((resolve) => setTimeout(resolve, 20));
      }`,
    );
    const limits = { secondsEach: 1, memory: 100, until: Date.now() + 100_000 };
    const tally = await watch({ target: 'none', seed: 1, count: 8, program, ...limits });
    expect(tally).toMatchObject({ tried: 8, read: 4 });
    expect(tally.faults).toEqual([
      { index: 1, what: expect.stringContaining('the process died (SIGABRT)') as string },
      { index: 3, what: 'hung for 1 s' },
      { index: 5, what: 'TypeError: x' },
      { index: 6, what: 'took 999 MiB of memory' },
    ]);
  });
});
