import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from './files.js';

export interface Outcome {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

/**
 * Runs the command line as a user does, in the given working directory.
 * @param group whether it leads a process group of its own, as it does on a terminal
 */
export function lastlayer(
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
  group = false,
): { process: ChildProcess; outcome: Promise<Outcome> } {
  const tsx = join(ROOT, 'node_modules', 'tsx', 'dist', 'loader.mjs');
  const child = spawn(process.execPath, ['--import', `file://${tsx}`, join(ROOT, 'src', 'cli.ts'), ...args], {
    cwd,
    detached: group,
    // Jest asks its own processes for colours.
    env: { ...process.env, NODE_OPTIONS: '', FORCE_COLOR: undefined, NO_COLOR: undefined, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // One that hangs must not keep the whole run from ending.
    timeout: 115_000,
    killSignal: 'SIGKILL',
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()));
  const outcome = new Promise<Outcome>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({ code, signal, ...output });
    });
  });
  return { process: child, outcome };
}
