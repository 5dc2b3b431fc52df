import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { Mutex } from 'async-mutex';
import { runCommandLine } from '../../src/cli/program.js';
import { ROOT } from './files.js';

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** What Node runs for the command line from its sources. */
export const COMMAND_LINE = join(ROOT, 'src', 'bin.cjs');

/** The working directory, the output and the exit code are this whole process's. */
const turn = new Mutex();

/**
 * Runs the command line in this process, which takes a second less than a process of its own. Calls wait for each other.
 * @param cwd the working directory
 * @param colours the variables that ask for colours or forbid them
 */
export async function lastlayer(
  args: readonly string[],
  cwd: string,
  colours: { FORCE_COLOR?: string; NO_COLOR?: string } = {},
): Promise<Outcome> {
  return turn.runExclusive(async () => {
    const [stdout, stderr] = [new Output(), new Output()];
    const { exitCode } = process;
    const streams = Object.getOwnPropertyDescriptors(process);
    const before = process.cwd();
    // Jest asks its own processes for colours.
    delete process.env.FORCE_COLOR;
    delete process.env.NO_COLOR;
    Object.assign(process.env, colours);
    try {
      process.chdir(cwd);
      process.exitCode = undefined;
      Object.defineProperties(process, {
        stdout: { ...streams.stdout, get: () => stdout },
        stderr: { ...streams.stderr, get: () => stderr },
      });
      const code = await runCommandLine(args);
      return { code, stdout: stdout.text, stderr: stderr.text };
    } finally {
      Object.defineProperties(process, { stdout: streams.stdout, stderr: streams.stderr });
      process.exitCode = exitCode;
      process.chdir(before);
    }
  });
}

/** Keeps what is written. No terminal. */
class Output extends Writable {
  text = '';

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/**
 * Runs the command line in a process of its own, as a user does: for tests of signals, pipes, terminals and native output.
 * @param group whether it leads a process group of its own, as it does on a terminal
 */
export function lastlayerProcess(
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
  group = false,
): { process: ChildProcess; outcome: Promise<Outcome & { signal: NodeJS.Signals | null }> } {
  const child = spawn(process.execPath, [COMMAND_LINE, ...args], {
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
  const outcome = new Promise<Outcome & { signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      resolve({ code, signal, ...output });
    });
  });
  return { process: child, outcome };
}

/** Gives a command a terminal. */
export const SCRIPT = '/usr/bin/script';

export const describeWithTerminal = existsSync(SCRIPT) ? describe : describe.skip;

/**
 * Runs the command line on a terminal, which `script` of util-linux makes.
 * @param env nothing else is set but PATH and HOME
 * @returns what the terminal was sent, stdout and stderr; its lines end in CR LF
 */
export async function lastlayerOnTerminal(
  args: readonly string[],
  cwd: string,
  { columns = 80, ...env }: { columns?: number } & Record<string, string | number> = {},
): Promise<string> {
  const command = [process.execPath, COMMAND_LINE, ...args].map((word) => `'${word}'`).join(' ');
  const { PATH, HOME } = process.env;
  const { stdout } = await promisify(execFile)(SCRIPT, ['-qc', `stty cols ${columns}; ${command}`, '/dev/null'], {
    cwd,
    env: { PATH, HOME, TERM: 'xterm-256color', ...env },
  });
  return stdout;
}
