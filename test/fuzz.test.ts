import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT, temporaryFolder } from './support/files.js';

const keep = await temporaryFolder();

/** Fuzzes with the developers' own script: see docs/reliability.md for longer runs. */
function fuzz(only: string, count: number): { status: number | null; lines: string[] } {
  const tsx = `file://${join(ROOT, 'node_modules', 'tsx', 'dist', 'loader.mjs')}`;
  const script = join(ROOT, 'scripts', 'fuzz.ts');
  const options = ['--only', only, '--count', String(count), '--seed', '1', '--keep', keep];
  const { status, stdout } = spawnSync(process.execPath, ['--import', tsx, script, ...options], {
    cwd: ROOT,
    env: { ...process.env, NODE_OPTIONS: '' },
    encoding: 'utf8',
    timeout: 110_000,
  });
  return { status, lines: stdout.trim().split('\n') };
}

describe('mutants', () => {
  it.each([
    ['pictures', 150],
    ['pickle,zip,safetensors,onnx', 25],
    ['head', 150],
  ])('of %s are read or refused with a reason, %i each', (only, count) => {
    const { status, lines } = fuzz(only, count);
    const clean = only
      .split(',')
      .map(
        (name) => new RegExp(`^${name}: ${count} mutants, [1-9]\\d* read, [1-9]\\d* refused .* 0 faults;`),
      );
    expect(lines).toEqual(clean.map((line) => expect.stringMatching(line) as string));
    expect(status).toBe(0);
  });
});
