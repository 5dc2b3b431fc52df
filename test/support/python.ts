import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The Python of the environment that $PEERS names, with torch, torchvision, onnxruntime, safetensors and numpy. */
const PYTHON = join(process.env.PEERS ?? '', 'bin', 'python');

/** Runs a group of tests where there is such a Python, and shows them as skipped where there is none. */
export const describeWithPython = process.env.PEERS !== undefined && existsSync(PYTHON) ? describe : describe.skip;

/** As {@link describeWithPython}, where it has further packages as well. */
export function describeWithPackages(...packages: string[]): typeof describe.skip {
  const isThere = spawnSync(PYTHON, ['-c', `import ${packages.join(', ')}`]).status === 0;
  return isThere ? describeWithPython : describe.skip;
}

/** Runs a program in a folder. @returns what it prints, read as JSON */
export async function runPython(program: string, folder: string): Promise<unknown> {
  const { stdout } = await promisify(execFile)(PYTHON, ['-c', program], { cwd: folder });
  return JSON.parse(stdout);
}
